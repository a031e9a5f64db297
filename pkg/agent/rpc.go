package agent

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// rpc is a client of one MCP server: JSON-RPC over streamable HTTP, as far as it is needed to list tools.
type rpc struct {
	conn    *salesforce.Conn // to the services
	path    string
	session string // from the answer to initialize, "" if there is none
	last    int    // ID of the last call
}

// protocol is the version of MCP that is requested. Source: Salesforce's skills.
const protocol = "2025-06-18"

// call calls a method, and decodes the result unless it is nil. A method that begins with notifications/ has no
// answer. If the server refuses the call, the error is a *Refusal.
func (c *rpc) call(ctx context.Context, method string, params, result any) error {
	notification := strings.HasPrefix(method, "notifications/")
	message := map[string]any{"jsonrpc": "2.0", "method": method}
	if !notification {
		c.last++
		message["id"] = c.last
	}
	if params != nil {
		message["params"] = params
	}
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	request := salesforce.Request{
		Name: method, Method: http.MethodPost, Path: c.path, Authorize: true, Idempotent: true, // none of them changes anything
		Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}},
		Body:   func(salesforce.Secret) ([]byte, error) { return body, nil },
	}
	if c.session != "" {
		request.Header.Set("Mcp-Session-Id", c.session)
	}
	return c.conn.Do(ctx, request, func(answer *salesforce.Response) error {
		if answer.Status < 200 || answer.Status > 299 {
			return refused(answer)
		}
		if id := answer.Header.Get("Mcp-Session-Id"); id != "" {
			c.session = id
			salesforce.NewSecret(id)
		}
		if notification {
			return nil
		}
		return decodeRPC(answer, c.last, result)
	})
}

// decodeRPC decodes the answer to a call: a JSON document, or the message of an event stream that has the ID.
func decodeRPC(answer *salesforce.Response, id int, result any) error {
	if err := answer.CheckMarks(",{", "JSON objects and members"); err != nil {
		return err
	}
	type message struct {
		ID     *int            `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	documents := []string{string(answer.Body)}
	if strings.HasPrefix(strings.ToLower(answer.Header.Get("Content-Type")), "text/event-stream") {
		documents = events(string(answer.Body))
	}
	for _, document := range documents {
		var m message
		if json.Unmarshal([]byte(document), &m) != nil || m.ID == nil || *m.ID != id {
			continue
		}
		if m.Error != nil {
			return &Refusal{Host: answer.Host, Status: answer.Status, Message: answer.Mask(m.Error.Message)}
		}
		if result == nil || json.Unmarshal(m.Result, result) == nil {
			return nil
		}
	}
	return answer.Unexpected("not an answer of an MCP server")
}

// events returns the data of the events of an event stream, see the HTML standard, section 9.2.
func events(stream string) (all []string) {
	stream = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(stream)
	for event := range strings.SplitSeq(stream, "\n\n") {
		var data []string
		for line := range strings.SplitSeq(event, "\n") {
			if text, ok := strings.CutPrefix(line, "data:"); ok {
				data = append(data, strings.TrimPrefix(text, " "))
			}
		}
		if data != nil {
			all = append(all, strings.Join(data, "\n"))
		}
	}
	return all
}

// refused returns an answer that refuses a call. Its text stands at different places, or is the whole answer.
func refused(answer *salesforce.Response) *Refusal {
	r := &Refusal{Host: answer.Host, Status: answer.Status}
	var said struct {
		Message string `json:"message"`
		Error   json.RawMessage
		Errors  []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	var inner struct {
		Message string `json:"message"`
	}
	text := strings.TrimSpace(string(answer.Body))
	switch isJSON := json.Unmarshal(answer.Body, &said) == nil; {
	case isJSON && len(said.Errors) > 0 && said.Errors[0].Message != "":
		text = said.Errors[0].Message
	case isJSON && json.Unmarshal(said.Error, &inner) == nil && inner.Message != "":
		text = inner.Message
	case isJSON && said.Message != "":
		text = said.Message
	case answer.Unexpected("").Page:
		text = "an HTML page"
	}
	const longest = 300 // bytes of a text that is shown
	if text = answer.Mask(text); len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	r.Message = text
	return r
}
