package sealfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// The format of pebble's logs and manifests, from the package comment of its package
// record: blocks of 32 KiB that consist of chunks. A chunk is a checksum (4 bytes), a
// length (2), a type (1), in a log also the log's number (4), in the newest format also
// how far the log was synced before (8), and the payload. No chunk crosses a block's end;
// the bytes left there are zero.
const (
	logBlock        = 32 << 10
	plainHeader     = 4 + 2 + 1
	numberedHeader  = plainHeader + 4
	syncMarksHeader = numberedHeader + 8
	// Types come in fours: plain, numbered, with sync marks.
	maxPlain, maxNumbered, maxSyncMarks = 4, 8, 12
	// trailerType ends a log that was closed: an empty chunk without a checksum, with the
	// next log's number.
	trailerType = 5
)

// scanLog reads a log or manifest. It returns how many bytes at its start are whole chunks,
// and whether a proper trailer follows them. Unlike pebble's reader, it never takes a
// damaged chunk for a trailer.
func scanLog(r io.Reader, isLog bool, number uint32) (whole int64, ended bool, err error) {
	buf := make([]byte, logBlock)
	for {
		n, err := io.ReadFull(r, buf)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return whole, false, err
		}
		used, ended := scanBlock(buf[:n], isLog, number)
		whole += int64(used)
		if ended || used < logBlock {
			return whole, ended, nil
		}
	}
}

// scanBlock returns how much of a block is whole: all of it if the next block continues it.
func scanBlock(block []byte, isLog bool, number uint32) (used int, ended bool) {
	for {
		rest := block[used:]
		if isPadding(rest, used, isLog) {
			return logBlock, false
		}
		size, ok := chunkSize(rest, isLog, number)
		if !ok {
			return used, false
		}
		used += size
		if isLog && rest[6] == trailerType && isTrailer(rest, number) {
			return used, true
		}
	}
}

// isPadding reports whether a full block ends here in zeros, too few for a chunk.
func isPadding(rest []byte, at int, isLog bool) bool {
	header := plainHeader
	if isLog {
		header = syncMarksHeader
	}
	return at+len(rest) == logBlock && len(rest) < header && len(bytes.Trim(rest, "\x00")) == 0
}

func isTrailer(chunk []byte, number uint32) bool {
	return len(chunk) >= numberedHeader && binary.LittleEndian.Uint32(chunk) == 0 &&
		binary.LittleEndian.Uint16(chunk[4:]) == 0 && chunk[6] == trailerType &&
		binary.LittleEndian.Uint32(chunk[7:]) == number+1
}

// chunkSize returns the size of the chunk that begins here, if it is whole.
func chunkSize(b []byte, isLog bool, number uint32) (size int, ok bool) {
	if len(b) < plainHeader || b[6] == 0 || b[6] > maxSyncMarks {
		return 0, false
	}
	header := plainHeader
	switch kind := b[6]; {
	case kind > maxNumbered:
		header = syncMarksHeader
	case kind > maxPlain:
		header = numberedHeader
	}
	if isLog && isTrailer(b, number) {
		return numberedHeader, true
	}
	size = header + int(binary.LittleEndian.Uint16(b[4:]))
	if isLog != (header > plainHeader) || size > len(b) {
		return 0, false
	}
	if isLog && binary.LittleEndian.Uint32(b[7:]) != number {
		return 0, false
	}
	// LevelDB's masked CRC-32C of everything after the length.
	sum := crc32.Checksum(b[6:size], crc32.MakeTable(crc32.Castagnoli))
	if sum = (sum>>15 | sum<<17) + 0xa282ead8; sum != binary.LittleEndian.Uint32(b) {
		return 0, false
	}
	return size, true
}
