package orgauth

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/ecakit/ecakit/pkg/internal/files"
)

// DefaultOrg returns the alias or username of the Salesforce CLI's default org: SF_TARGET_ORG,
// else target-org of the project's .sf/config.json, else that of the user's. It returns "" if
// none is set. project is the project's directory and home the user's; "" skips either. A file
// that exists but cannot be read is an error, because the next file could name another org. An
// error is an *Error.
func DefaultOrg(project, home string, getenv func(string) string) (string, error) {
	if org := getenv("SF_TARGET_ORG"); org != "" {
		return org, nil
	}
	for _, dir := range []string{project, home} {
		if dir == "" {
			continue
		}
		name := filepath.Join(dir, ".sf", "config.json")
		var config struct {
			TargetOrg string `json:"target-org"`
		}
		data, err := readConfig(dir, dir == project)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && json.Unmarshal(data, &config) != nil {
			err = errors.New("it is not the JSON that sf writes")
		}
		if err != nil {
			const message = "cannot read sf's default org from "
			return "", &Error{Reason: ErrStore, Message: message + name, Err: files.Plain(err)}
		}
		if config.TargetOrg != "" {
			return config.TargetOrg, nil
		}
	}
	return "", nil
}

// readConfig reads sf's configuration in a directory. If confined, symlinks cannot leave the
// directory.
func readConfig(dir string, confined bool) ([]byte, error) {
	if !confined {
		return files.Read(filepath.Join(dir, ".sf", "config.json"), maxStored)
	}
	fsys, err := files.Dir(dir)
	if err != nil {
		return nil, err
	}
	return fs.ReadFile(fsys, ".sf/config.json")
}
