package main

import (
	"strings"
	"testing"
)

func TestSomebodyIsGreeted(t *testing.T) {
	var out strings.Builder
	if err := run([]string{"you"}, strings.NewReader(""), &out); err != nil || out.String() != "Hello, you\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	if err := run(nil, strings.NewReader(" \n"), &out); err == nil {
		t.Error("an empty name must be refused")
	}
}
