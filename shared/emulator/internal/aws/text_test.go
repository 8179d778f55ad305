package aws_test

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"paylane/shared/emulator/internal/aws"
)

// ValidText does what encoding and decoding as JSON does.
func TestValidText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var want string
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		if got := aws.ValidText(s); got != want {
			t.Fatalf("ValidText(%q) is %q, want %q", s, got, want)
		}
	})
}
