package console

import (
	"os"

	"golang.org/x/sys/windows"
)

// enableEscapes lets a console act on escape sequences, which older ones print otherwise. It
// reports whether the console does.
func enableEscapes(file *os.File) bool {
	console, mode := windows.Handle(file.Fd()), uint32(0)
	if windows.GetConsoleMode(console, &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
