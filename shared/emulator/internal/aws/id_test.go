package aws_test

import (
	"bytes"
	"crypto/rand"
	"regexp"
	"testing"
	"time"

	"paylane/shared/emulator/internal/aws"
)

func TestFormats(t *testing.T) {
	now := time.Unix(1783711145, 0)
	rows := []struct {
		name    string
		make    func() string
		pattern string
	}{
		{"UUID", func() string { return aws.UUID(rand.Reader) }, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
		{"Trace", func() string { return aws.TraceID(rand.Reader, now) }, `^Root=1-6a5145a9-[0-9a-f]{24}$`},
		{"Gateway", func() string { return aws.GatewayID(rand.Reader) }, `^[A-Za-z0-9_-]{15}=$`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			one, two := row.make(), row.make()
			if !regexp.MustCompile(row.pattern).MatchString(one) {
				t.Errorf("%q does not match %s", one, row.pattern)
			}
			if one == two {
				t.Errorf("%q twice", one)
			}
		})
	}
}

// The same randomness gives the same ids, so that a simulation can be repeated.
func TestRepeatable(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, 16)
	if one, two := aws.UUID(bytes.NewReader(seed)), aws.UUID(bytes.NewReader(seed)); one != two || one != "07070707-0707-4707-8707-070707070707" {
		t.Errorf("%q and %q", one, two)
	}
}
