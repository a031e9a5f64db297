package metadata

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
)

func TestCertificates(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	for name, form := range map[string]string{
		"PEM": text, "text before it": "subject=x\n" + text, "base64": base64.StdEncoding.EncodeToString(der),
		"base64 in lines": strings.ReplaceAll(base64.StdEncoding.EncodeToString(der), "M", "M\n"), "base64 of PEM": base64.StdEncoding.EncodeToString([]byte(text)),
	} {
		if got := CertificateDER(form); !bytes.Equal(got, der) {
			t.Errorf("%s: got %x", name, got)
		}
		if got, err := CertificatePEM([]byte(form)); err != nil || got != strings.TrimSpace(text) {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
	if got, err := CertificatePEM(der); err != nil || got != strings.TrimSpace(text) {
		t.Errorf("DER: got %s, %v", got, err)
	}
	for text, want := range map[string]string{
		"MyCertificate!":                    "is not an X.509 certificate",
		"-----BEGIN CERTIFICATE-----\nQUJD": "is not an X.509 certificate",
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})):          "holds a public key, not a certificate",
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE " + "KEY", Bytes: der})): "holds a private key",
	} {
		if got, err := CertificatePEM([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %s, %v, want %q", text, got, err, want)
		}
	}
	if CertificateDER("") != nil || CertificateDER("-----BEGIN CERTIFICATE-----QUJD") != nil || CertificateDER("no base64!") != nil {
		t.Error("other texts are certificates")
	}
}
