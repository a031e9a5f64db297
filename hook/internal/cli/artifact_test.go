package cli

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// artifact FILE PACKAGE DIR [DEPTH]: makes an artifact of a package from its source
// directory, as sfp build does in a zip file, and npm does of that in a tgz file. With a
// depth it also holds a file in that many directories.
func makeArtifact(ts *testscript.TestScript, neg bool, args []string) {
	file, name, dir := ts.MkAbs(args[0]), args[1], args[2]
	content := map[string]string{"artifact_metadata.json": fmt.Sprintf(`{"package_name": %q}`, name)}
	ts.Check(fs.WalkDir(os.DirFS(ts.MkAbs(dir)), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(ts.MkAbs(dir), name))
		content[path.Join("source", dir, name)] = string(data)
		return err
	}))
	if len(args) > 3 {
		depth, err := strconv.Atoi(args[3])
		ts.Check(err)
		content[path.Join("source", dir)+"/"+strings.Repeat("a/", depth)+"x"] = "x"
	}
	var b bytes.Buffer
	if strings.HasSuffix(file, ".zip") {
		top, _, _ := strings.Cut(filepath.Base(file), "_artifact")
		ts.Check(writeZip(&b, top+"_artifact/", content))
	} else {
		ts.Check(writeTgz(&b, "package/", content))
	}
	ts.Check(os.MkdirAll(filepath.Dir(file), 0o700))
	ts.Check(os.WriteFile(file, b.Bytes(), 0o600))
}

func writeZip(to io.Writer, top string, content map[string]string) error {
	w := zip.NewWriter(to)
	for name, text := range content {
		f, err := w.Create(top + name)
		if err != nil {
			return err
		}
		io.WriteString(f, text)
	}
	return w.Close()
}

func writeTgz(to io.Writer, top string, content map[string]string) error {
	z := gzip.NewWriter(to)
	w := tar.NewWriter(z)
	for name, text := range content {
		if err := w.WriteHeader(&tar.Header{Name: top + name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			return err
		}
		io.WriteString(w, text)
	}
	if err := w.Close(); err != nil {
		return err
	}
	return z.Close()
}
