package scaffold

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"unicode"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Config describes the new app and its place in the project.
type Config struct {
	App          string // the header's fullName
	Label        string // "" means the app's name with spaces for underscores
	ContactEmail string // required in every header

	// Layout is the project's layout. "" means the one that the project has.
	Layout project.Layout
	// NewProject creates a minimal project file if the directory has none.
	NewProject bool

	// Definition and Policies are the directories of the two packages, relative to the project.
	// The last path element is the package's name. "" means eca-definition and eca-policies
	// beside the project's first package. Existing packages are extended. In project.LayoutSF, Definition is
	// the package directory for the header, by default that of new source, and policies are in
	// project.EnvironmentsDir.
	Definition, Policies string

	// Environments get their own folders in the policies package, beside default.
	Environments []Environment

	// Scopes are OAuth scopes, by their metadata names; none means the preset's. Without a preset, these
	// are Api and RefreshToken, or Api alone if the app has a user that client credentials run as, and
	// neither CallbackURLs nor a certificate.
	Scopes       []string
	CallbackURLs []string // none means the org's own domain

	// Preset is the use that settings and policies are written for: the name of one of
	// Presets, "" for none in particular.
	Preset string

	// PermissionSets grant the app. Those that the project lacks are created, empty.
	PermissionSets []string
	// SetsElsewhere reports that the orgs have the permission sets, so that none is created.
	SetsElsewhere bool

	// Fields are additional fields by type: of the header, of the OAuth policies, SAML policies and
	// canvas settings in every environment, and of the settings, which they replace.
	Fields map[string]metadata.Fields

	hasUser bool // client credentials are on in an environment that the project has

	// Certificate is the PEM certificate of the key pair for JWT bearer; nil means none.
	Certificate []byte

	// leftOut reports whether a new environment's folder gets no copy of an app's policies in default. nil
	// means that it gets all.
	leftOut func(app string) bool
}

// Environment is one or several orgs with their own policies.
type Environment struct {
	Alias string // the org's alias in sf, used as the folder's name
	// RunAsUser is the user that the client credentials flow runs as. "" leaves the flow off.
	RunAsUser string
}

// folderName matches aliases that are a single folder name and survive sfp's command line,
// which sfp does not quote.
var folderName = regexp.MustCompile(`^[A-Za-z0-9][\w.@+-]*$`)

// username matches Salesforce usernames, which have the form of an e-mail address.
var username = regexp.MustCompile(`^[^@\s,;=<>"]+@[^@\s,;=<>"]+$`)

// packagePath matches package directories that survive sfp's command line.
var packagePath = regexp.MustCompile(`^[\w.@+-]+(/[\w.@+-]+)*$`)

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// Check returns an error if the configuration is invalid in itself.
func (c Config) Check() error {
	preset, err := c.preset()
	return cmp.Or(c.checkHeader(), err, c.checkUse(preset), c.checkEnvironments(), c.checkCallbacks(),
		checkDir(c.Definition), checkDir(c.Policies), c.checkCertificate(preset))
}

func (c Config) checkHeader() error {
	switch {
	case c.App == "":
		return errors.New("the app needs a name")
	case strings.ContainsFunc(c.Label, unicode.IsControl):
		return errors.New("label and address must not contain control characters or line breaks")
	}
	return cmp.Or(CheckApp(c.App), CheckEmail(c.ContactEmail))
}

// CheckApp returns an error if an app cannot have a name.
func CheckApp(name string) error {
	if eca.CheckName(name) != nil {
		return fmt.Errorf("%q is not a valid app name; use letters, digits and single underscores, starting with a letter", name)
	}
	return nil
}

// CheckEmail returns an error for what is not the e-mail address of a contact.
func CheckEmail(address string) error {
	switch {
	case strings.ContainsFunc(address, unicode.IsControl):
		return errors.New("label and address must not contain control characters or line breaks")
	case !strings.Contains(address, "@"):
		return fmt.Errorf("%q is not an e-mail address; give that of the app's contact", address)
	}
	return nil
}

// checkDir checks the directory of a package; "" is the default.
func checkDir(dir string) error {
	if dir != "" && (!packagePath.MatchString(dir) || !fs.ValidPath(dir) || dir == ".") {
		return fmt.Errorf("%q is not a valid package directory; give a path inside the project, relative to it and without spaces", dir)
	}
	return nil
}

// checkUse checks what the preset needs, apart from the certificate.
func (c Config) checkUse(preset Preset) error {
	switch {
	case preset.Callbacks && len(c.CallbackURLs) == 0:
		return fmt.Errorf("the preset %s needs a callback URL; give one", preset.Name)
	}
	for _, name := range c.PermissionSets {
		if eca.CheckFullName(name) != nil {
			return fmt.Errorf("%q is not a valid permission set name", name)
		}
	}
	return nil
}

func (c Config) checkEnvironments() error {
	seen := make(map[string]bool)
	for _, e := range c.Environments {
		if err := e.Check(); err != nil {
			return err
		}
		folded := strings.ToLower(e.Alias)
		if seen[folded] {
			return fmt.Errorf("the environment %s is given twice", e.Alias)
		}
		seen[folded] = true
	}
	return nil
}

// Check returns an error if the environment cannot have a folder, or its user is no username.
func (e Environment) Check() error {
	switch {
	case strings.EqualFold(e.Alias, sfp.DefaultFolder):
		return errors.New("the environment default is always created, with client credentials off; leave it out")
	case !folderName.MatchString(e.Alias) || eca.Types().IsFolder(e.Alias):
		return fmt.Errorf("%q is not a valid folder name for an environment", e.Alias)
	case e.RunAsUser != "" && !username.MatchString(e.RunAsUser):
		return fmt.Errorf("%q is not a Salesforce username", e.RunAsUser)
	}
	return nil
}

func (c Config) checkCallbacks() error {
	for _, url := range c.CallbackURLs {
		if err := CheckCallback(url); err != nil {
			return err
		}
	}
	return nil
}

// CheckCallback returns an error for a callback URL with a placeholder that nothing fills in.
func CheckCallback(url string) error {
	for _, name := range placeholder.FindAllString(url, -1) {
		if name != "{orgDomainUrl}" && name != "{alias}" {
			return fmt.Errorf("the callback URL %s has the unknown placeholder %s; use {orgDomainUrl} or {alias}", url, name)
		}
	}
	return nil
}

func (c Config) checkCertificate(preset Preset) error {
	if c.Certificate == nil {
		if preset.Certificate {
			return ErrNoCertificate
		}
		return nil
	}
	if _, err := metadata.CertificatePEM(c.Certificate); err != nil {
		return fmt.Errorf("the certificate %w", err)
	}
	return nil
}

// ErrNoCertificate reports that the preset needs a certificate, and that nothing else is wrong.
var ErrNoCertificate = errors.New("the preset needs a certificate")
