package cli

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/ecakit/ecakit/hook/internal/secrets"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
)

// KeyBits is the size of a key that is made here. Salesforce demands 2048 at least. Tests set it before Main.
var KeyBits = 4096

// keyPair sets the certificate of an app that needs one: the user's, or that of a key pair which
// is made here and whose private key is to be written to the file. The key is zero if an earlier run
// has written it.
func (c *initCmd) keyPair(e *env, root string, config *scaffold.Config) (file string, key salesforce.Secret, err error) {
	if c.Certificate != "" {
		from, err := openRegular(c.Certificate)
		if err != nil {
			return "", key, fmt.Errorf("--certificate: %w", err)
		}
		defer from.Close()
		config.Certificate, err = io.ReadAll(io.LimitReader(from, maxKey))
		if err == nil && config.Certificate == nil {
			config.Certificate = []byte{}
		}
		return "", key, err
	}
	if config.Preset != "ci" {
		if c.Key != "" {
			return "", key, errors.New("--key goes with --preset ci, without --certificate")
		}
		return "", key, nil
	}
	if c.Days < 1 || c.Days > 3650 {
		return "", key, errors.New("--days must be between 1 and 3650")
	}
	file = c.Key
	if file == "" {
		if e.Home == "" {
			return "", key, errors.New("--key is required without a home directory (HOME is not set)")
		}
		file = filepath.Join(e.Home, ".config", "eca", config.App+".key")
	}
	if err := outside(file, root); err != nil {
		return "", key, err
	}
	if _, err := os.Lstat(file); err == nil {
		if config.Certificate = ownCertificate(file, config.App); config.Certificate == nil {
			return "", key, fmt.Errorf("--key: %s exists already, and eca overwrites nothing; name its certificate with --certificate", file)
		}
		return file, key, nil
	}
	private, err := rsa.GenerateKey(rand.Reader, KeyBits)
	if err != nil {
		return "", key, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return "", key, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: config.App},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, c.Days),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return "", key, err
	}
	config.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", key, err
	}
	// The certificate follows the key, so that a later run can tell whose the key is.
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), config.Certificate...)
	return file, salesforce.NewSecret(string(text)), nil
}

// ownCertificate returns the certificate in the file of a private key that an earlier run wrote for an
// app, nil if the file is another one.
func ownCertificate(file, app string) []byte {
	from, err := openRegular(file)
	if err != nil {
		return nil
	}
	defer from.Close()
	data, err := io.ReadAll(io.LimitReader(from, maxKey))
	if err != nil {
		return nil
	}
	pair, err := tls.X509KeyPair(data, data)
	if err != nil || pair.Leaf.Subject.CommonName != app || time.Now().After(pair.Leaf.NotAfter) {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Leaf.Raw})
}

// outside makes sure that a file is neither in the project nor in a git work tree, wherever links
// lead. Its directory need not be there yet.
func outside(file, root string) error {
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return err
	}
	for {
		resolved, err := filepath.EvalSymlinks(dir)
		if err == nil {
			dir = resolved
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return fmt.Errorf("--key: cannot determine the directory of %s", file)
		}
		dir = filepath.Dir(dir)
	}
	project, err := filepath.Abs(root)
	if err == nil {
		project, err = filepath.EvalSymlinks(project)
	}
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(project, dir); err == nil && filepath.IsLocal(rel) {
		return fmt.Errorf("--key: %s is inside the project, and a private key must not get into a repository; choose a file elsewhere", file)
	}
	if tree, _, err := secrets.Repository(dir); err != nil || tree != "" {
		return fmt.Errorf("--key: %s is in a git repository, and a private key does not belong there; choose another file", file)
	}
	return nil
}

// writeKey writes a private key to a new file that its owner alone can read.
func writeKey(name string, key salesforce.Secret) error {
	isNew := func() error {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return cmp.Or(err, fs.ErrExist)
		}
		return nil
	}
	if err := atomicfile.Write(name, []byte(key.Reveal()), atomicfile.Options{Parents: 0o700, Guard: isNew}); err != nil {
		return fmt.Errorf("the private key cannot be written to %s: %w", name, err)
	}
	return nil
}
