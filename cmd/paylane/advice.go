package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"paylane/shared/pebblestore"
)

// What can go wrong before anything is served, and what the user can do about it: each of these
// returns the error of one line that says so.

// addrError is about listening on the address.
func addrError(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program: stop it, or choose another address with --addr 127.0.0.1:0", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is not an address of this machine: choose another with --addr", addr)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s needs privileges that this program does not have: choose a port above 1023 with --addr", addr)
	}
	return fmt.Errorf("--addr %s: %w", addr, err)
}

// dataError is about what is kept in the folder of --data.
func dataError(folder string, err error) error {
	switch path := new(fs.PathError); {
	case errors.Is(err, pebblestore.ErrDamaged):
		return err // which names the file; another folder would have none of the orders
	case errors.Is(err, pebblestore.ErrInUse):
		return fmt.Errorf("the data folder %s is %w: stop that one, or choose another folder with --data", folder, pebblestore.ErrInUse)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: make space, or choose another folder with --data", err)
	case errors.As(err, &path):
		return fmt.Errorf("the data folder %s can't be used (%w): choose another with --data", folder, path)
	}
	return err
}

// templateError is about reading the template.
func templateError(path string, err error) error {
	switch read := new(fs.PathError); {
	case !errors.As(err, &read) || read.Path != path:
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no template %s: run this in its folder, or name it with --template", path)
	default:
		return fmt.Errorf("the template %s can't be read (%w): name another with --template", path, read.Err)
	}
}
