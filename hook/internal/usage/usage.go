// Package usage has the error of a wrong command line.
package usage

import "fmt"

// Error is a fault of the command line, as opposed to a failure of the command.
type Error struct{ Err error }

// Errorf returns an Error with a formatted message.
func Errorf(format string, args ...any) error { return Error{fmt.Errorf(format, args...)} }

func (e Error) Error() string { return e.Err.Error() }

// Unwrap returns e.Err.
func (e Error) Unwrap() error { return e.Err }
