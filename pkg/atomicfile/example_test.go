package atomicfile_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/ecakit/ecakit/pkg/atomicfile"
)

// ExampleWrite writes a secret. A reader sees the old content or the new one, and nobody else can read the file.
func ExampleWrite() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "secrets", "app.json")

	err = atomicfile.Write(name, []byte(`{"client_id": "KEY"}`), atomicfile.Options{Parents: 0o700})
	data, _ := os.ReadFile(name)
	fmt.Println(string(data), err)
	// Output:
	// {"client_id": "KEY"} <nil>
}
