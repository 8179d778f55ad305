package runtimeapi

import (
	"context"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/pipe"
)

// InvokeStream implements [emulator.Streamer]. A chunk that the function wrote is not
// split, unless it is larger than 32 KiB. The errors are those of [Function.Invoke].
func (f *Function) InvokeStream(ctx context.Context, i emulator.Invocation) (*emulator.Stream, error) {
	s := pipe.New()
	inv, err := f.begin(i, s)
	if err != nil {
		return nil, err
	}
	contentType, body, err := s.Await(ctx, inv.over, func() error { return inv.err })
	if err != nil {
		return nil, err
	}
	return &emulator.Stream{ContentType: contentType, Body: body}, nil
}

var _ emulator.Streamer = (*Function)(nil)
