package metadata

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/words"
)

// boolean returns "true" or "false" for the text of a boolean field, and the platform's default
// for an absent one. Other text is returned unchanged.
func (ft *FieldType) boolean(text string) string {
	switch strings.TrimSpace(text) {
	case "true", "1":
		return "true"
	case "false", "0":
		return "false"
	case "":
		if ft.Default == "true" {
			return "true"
		}
		return "false"
	}
	return text
}

// check returns an error if a value is not of the field's kind, holds a private key, or cannot be
// represented in XML. It does not look into the values of nested fields, or at those of an Enum.
func (ft *FieldType) check(f Field) error {
	text := strings.TrimSpace(f.Text)
	if err := cmp.Or(checkText(f.Text), CheckSecret(text)); err != nil {
		return err
	}
	switch {
	case ft.Kind == Struct && text != "":
		return errors.New("must have nested elements, not text")
	case ft.Kind != Struct && len(f.Fields) > 0:
		return fmt.Errorf("must be a %s, not nested elements", ft.Kind)
	case ft.PEM:
		return CheckSecret(string(unwrap(text))) // the platform accepts certificates in base64
	case ft.Kind == Boolean && !slices.Contains([]string{"true", "false", "1", "0"}, text):
		return fmt.Errorf("%q is neither true nor false", words.Clip(f.Text))
	case ft.Kind == Int:
		if _, err := strconv.ParseInt(text, 10, 32); err != nil {
			return fmt.Errorf("%q is not a whole number", words.Clip(f.Text))
		}
	}
	return nil
}

// CheckSecret returns an error if the text contains a private key. The error does not contain
// the text.
func CheckSecret(text string) error {
	if strings.Contains(text, "PRIVATE KEY-----") {
		return errPrivateKey
	}
	return nil
}

var errPrivateKey = errors.New("holds a private key, which must not be in any field or repository; " +
	"use only the certificate of the pair")

// CertificateDER returns the bytes of a certificate in a form that
// ExtlClntAppGlobalOauthSettings may hold: PEM, the base64 between the PEM lines, or base64 of
// the whole PEM. All three were seen in source that orgs accept. For other text it returns nil.
// It does not check that the bytes are a certificate.
func CertificateDER(text string) []byte {
	const begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
	if _, after, found := strings.Cut(text, begin); found {
		body, _, found := strings.Cut(after, end)
		if !found {
			return nil
		}
		return unwrap(body)
	}
	data := unwrap(text)
	if bytes.Contains(data, []byte(begin)) {
		return CertificateDER(string(data))
	}
	return data
}

// CertificatePEM returns a PEM or DER certificate as PEM.
func CertificatePEM(data []byte) (string, error) {
	if err := CheckSecret(string(data)); err != nil {
		return "", err
	}
	der := data
	if block, _ := pem.Decode(data); block != nil && block.Type != "CERTIFICATE" {
		return "", fmt.Errorf("holds a %s, not a certificate", strings.ToLower(block.Type))
	} else if written := CertificateDER(string(data)); written != nil {
		der = written
	}
	if _, err := x509.ParseCertificate(der); err != nil {
		return "", errors.New("is not an X.509 certificate in PEM or DER")
	}
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))), nil
}

// unwrap decodes base64, ignoring white space. It returns nil for other text.
func unwrap(text string) []byte {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil || len(data) == 0 {
		return nil
	}
	return data
}

// canonical returns the same string for all values that mean the same to the platform. It is
// only compared, never sent.
func (ft *FieldType) canonical(f Field) string {
	switch {
	case ft.Kind == Struct:
		var parts []string
		for _, nested := range InOrder(f.Fields) {
			nt := ft.Field(nested.Name)
			if nt == nil {
				nt = unknownType(nested.Name, []Field{nested})
			}
			if text := nt.canonical(nested); text != "" {
				parts = append(parts, nested.Name+"="+strconv.Quote(text))
			}
		}
		return strings.Join(parts, " ")
	case ft.Kind == Boolean:
		return ft.boolean(f.Text)
	case ft.Kind == Int:
		if n, err := strconv.ParseInt(strings.TrimSpace(f.Text), 10, 32); err == nil {
			return strconv.FormatInt(n, 10)
		}
		return f.Text
	case ft.PEM:
		if der := CertificateDER(f.Text); der != nil {
			return base64.StdEncoding.EncodeToString(der)
		}
		return strings.Join(strings.Fields(f.Text), "")
	case ft.List != "":
		items := ft.Split(f.Text)
		for i, item := range items {
			if same, ok := ft.Synonyms[item]; ok {
				items[i] = same
			}
		}
		slices.Sort(items)
		return strings.Join(slices.Compact(items), ft.List)
	}
	if ft.Fold {
		return strings.ToLower(strings.TrimSpace(f.Text))
	}
	return strings.ReplaceAll(f.Text, "\r\n", "\n")
}

// Split returns the items of a list that the platform keeps in one string.
func (ft *FieldType) Split(text string) []string {
	var items []string
	for _, item := range strings.Split(text, ft.List) {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// Items returns the items of a comma-separated list.
func Items(list string) []string { return (&FieldType{List: ","}).Split(list) }

// display returns the values of a field for people, on one line. Secrets and long values are
// described.
func (ft *FieldType) display(values []Field) string {
	var parts []string
	for _, f := range values {
		switch {
		case ft.Secret, CheckSecret(f.Text) != nil:
			parts = append(parts, "(secret)")
		case ft.Key:
			parts = append(parts, words.ShortKey(f.Text))
		case ft.PEM:
			data := CertificateDER(f.Text)
			if data == nil {
				data = []byte(strings.TrimSpace(f.Text))
			}
			if len(data) > 0 {
				parts = append(parts, fmt.Sprintf("sha256:%.8x", sha256.Sum256(data)))
			}
		case ft.Kind == Struct:
			parts = append(parts, "{"+ft.canonical(f)+"}")
		case ft.Kind == Boolean:
			parts = append(parts, ft.boolean(f.Text))
		case ft.List != "":
			parts = append(parts, strings.Join(ft.Split(f.Text), ", "))
		default:
			parts = append(parts, f.Text)
		}
	}
	return words.Clip(strings.Join(parts, ", "))
}
