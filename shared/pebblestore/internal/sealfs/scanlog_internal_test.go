package sealfs

import (
	"bytes"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/record"
)

const testLogNumber = 2

// writers returns functions that write records in each format that pebble has.
func writers() map[string]func(t *testing.T, records [][]byte) []byte {
	log := func(marks bool) func(t *testing.T, records [][]byte) []byte {
		return func(t *testing.T, records [][]byte) []byte {
			var b bytes.Buffer
			w := record.NewLogWriter(&b, testLogNumber, record.LogWriterConfig{WriteWALSyncOffsets: func() bool { return marks }})
			for _, r := range records {
				if _, err := w.WriteRecord(r); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}
	}
	return map[string]func(t *testing.T, records [][]byte) []byte{
		"a log with sync marks":    log(true),
		"a log without sync marks": log(false),
		"a manifest": func(t *testing.T, records [][]byte) []byte {
			var b bytes.Buffer
			w := record.NewWriter(&b)
			for _, r := range records {
				if _, err := w.WriteRecord(r); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		},
	}
}

// Every log that pebble writes is whole; after a byte was changed, it is whole at most up
// to there. The first block ends in every way that it can.
func TestScanLog(t *testing.T) {
	for name, write := range writers() {
		t.Run(name, func(t *testing.T) {
			isLog := name != "a manifest"
			for left := range 2 * syncMarksHeader {
				records := [][]byte{make([]byte, logBlock-1000), make([]byte, 1000-2*plainHeader-left), []byte("next block"), make([]byte, 3*logBlock)}
				data := write(t, records)
				whole, ended, err := scanLog(bytes.NewReader(data), isLog, testLogNumber)
				if whole != int64(len(data)) || ended != isLog || err != nil {
					t.Fatalf("%d bytes before the block's end: %d of %d bytes are whole, ended %t, %v", left, whole, len(data), ended, err)
				}
				for at := logBlock - 50; at < logBlock+50; at++ {
					data[at] ^= 0x01
					whole, ended, _ := scanLog(bytes.NewReader(data), isLog, testLogNumber)
					if whole > int64(at) || ended {
						t.Fatalf("%d bytes before the block's end: %d bytes are whole after a change of byte %d", left, whole, at)
					}
					data[at] ^= 0x01
				}
			}
		})
	}
}

// A log may take over the file of an older one, whose chunks are not its own.
func TestScanLogOfAnotherNumber(t *testing.T) {
	for name, write := range writers() {
		if name == "a manifest" { // has no number
			continue
		}
		data := write(t, [][]byte{[]byte("a record")})
		if whole, ended, err := scanLog(bytes.NewReader(data), true, testLogNumber+1); whole != 0 || ended || err != nil {
			t.Errorf("%s: %d bytes are whole, ended %t, %v", name, whole, ended, err)
		}
	}
}

// Pebble's own reader agrees on what is whole.
func TestScanLogAgreesWithPebble(t *testing.T) {
	for name, write := range writers() {
		t.Run(name, func(t *testing.T) {
			isLog := name != "a manifest"
			var records [][]byte
			for i := range 300 {
				records = append(records, bytes.Repeat([]byte{byte(i)}, i*i%1500))
			}
			data := write(t, records)
			for cut := 0; cut < len(data); cut += 997 {
				whole, _, err := scanLog(bytes.NewReader(data[:cut]), isLog, testLogNumber)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := countRecords(data[:whole], isLog), countRecords(data[:cut], isLog); got != want {
					t.Fatalf("cut at %d: %d records are in what is whole, and %d in all", cut, got, want)
				}
			}
		})
	}
}

func countRecords(data []byte, isLog bool) (n int) {
	r := record.NewReader(bytes.NewReader(data), 0)
	if isLog {
		r = record.NewReader(bytes.NewReader(data), testLogNumber)
	}
	for {
		next, err := r.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, next)
		}
		if err != nil {
			return n
		}
		n++
	}
}

// FuzzScanLog scans garbage: it must not panic, nor report more as whole than there is.
func FuzzScanLog(f *testing.F) {
	f.Add([]byte("garbage"), uint32(2), true)
	f.Add(make([]byte, 2*logBlock), uint32(2), true)
	f.Fuzz(func(t *testing.T, garbage []byte, number uint32, isLog bool) {
		whole, _, err := scanLog(bytes.NewReader(garbage), isLog, number)
		if err != nil || whole > int64(len(garbage)) {
			t.Errorf("%d of %d bytes are whole, %v", whole, len(garbage), err)
		}
	})
}
