// The task {{name}}, a command: arguments and standard input in, standard output and exit code out.
//
//	{{name}} NAME      or the name on standard input
//
// Exit code 0 makes the output the response; any other one makes standard error the error that the caller gets.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string, in io.Reader, out io.Writer) error {
	var name string
	if len(arguments) > 0 {
		name = arguments[0]
	} else {
		body, err := io.ReadAll(in)
		if err != nil {
			return fmt.Errorf("reading the name: %w", err)
		}
		name = string(body)
	}
	if name = strings.TrimSpace(name); name == "" {
		return errors.New("found an empty name, expected somebody to greet")
	}
	_, err := fmt.Fprintf(out, "Hello, %s\n", name)
	return err
}
