package finding

import (
	"encoding/json"
	"io"
	"net/url"
)

// The parts of SARIF 2.1.0 that the findings need.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool struct {
			Driver sarifDriver `json:"driver"`
		} `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
		FullDescription  sarifText `json:"fullDescription"`
		Help             sarifText `json:"help"`
		HelpURI          string    `json:"helpUri"`
	}
	sarifText struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     Level           `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		PhysicalLocation struct {
			ArtifactLocation struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
			Region map[string]int `json:"region,omitempty"`
		} `json:"physicalLocation"`
	}
)

// Tool is the program that a SARIF log is from.
type Tool struct {
	Name, Version string
	Home          string // the URL of its home page
	Rules         string // the URL of a page with a heading for each rule ID
}

// WriteSARIF writes findings as a SARIF 2.1.0 log, the format of code scanning services. rules are all
// rules that were checked.
func WriteSARIF(w io.Writer, tool Tool, rules []Rule, findings []Finding) error {
	driver := sarifDriver{Name: tool.Name, Version: tool.Version, InformationURI: tool.Home, Rules: []sarifRule{}}
	index := make(map[string]int)
	for i, rule := range rules {
		index[rule.ID] = i
		text := rule.Markdown()
		driver.Rules = append(driver.Rules, sarifRule{
			ID: rule.ID, ShortDescription: sarifText{Text: rule.Summary},
			FullDescription: sarifText{Text: rule.Summary},
			Help:            sarifText{Text: text, Markdown: text}, HelpURI: tool.Rules + "#" + rule.ID,
		})
	}
	run := sarifRun{Results: []sarifResult{}}
	run.Tool.Driver = driver
	for _, f := range findings {
		var at sarifLocation
		at.PhysicalLocation.ArtifactLocation.URI = (&url.URL{Path: f.File}).String()
		if f.Line > 0 {
			at.PhysicalLocation.Region = map[string]int{"startLine": f.Line}
		}
		run.Results = append(run.Results, sarifResult{
			RuleID: f.Rule, RuleIndex: index[f.Rule], Level: f.Level, Message: sarifText{Text: f.Message()},
			Locations: []sarifLocation{at},
		})
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(sarifLog{
		Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0",
		Runs: []sarifRun{run},
	})
}
