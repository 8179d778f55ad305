package pebblestore_test

import (
	"testing"

	"paylane/shared/contract"
)

func TestScanner(t *testing.T) {
	for name := range places(t) {
		t.Run(name, func(t *testing.T) {
			contract.RunScanner(t, func(t *testing.T) contract.ScanStore { return open(t, places(t)[name]).Store() })
		})
	}
}
