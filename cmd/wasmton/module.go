package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/wasmton/wasmton/wasihost"
)

// maxModuleSize bounds what is read of a module's file, so that a device file
// or a data file by mistake ends with a message, not with the machine's memory.
const maxModuleSize = 1 << 30

// compileModule makes a module of the file at path: it compiles a .wasm or .wat, and
// loads what "wasmton compile" made. It does not check the contract. All its errors
// lead to exit code 2.
func compileModule(engine *wasihost.Engine, path string, console *console) (*wasihost.Module, error) {
	if wasihost.IsArtifact(path) || strings.EqualFold(filepath.Ext(path), artifactExtension) {
		module, err := engine.LoadFile(path)
		if err != nil {
			return nil, refused(fileError(path, err))
		}
		return module, nil
	}
	code, err := readModule(path)
	if err != nil {
		return nil, refused(err)
	}
	end := showCompiling(console, path, len(code))
	module, err := engine.Compile(path, code)
	end()
	if err != nil {
		return nil, refused(err)
	}
	return module, nil
}

// artifactExtension is by convention that of compiled code, which is known by its
// first bytes. A file of that name which does not begin so is not taken for a module.
const artifactExtension = ".cwasm"

func readModule(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	defer func() { _ = f.Close() }() // only read
	tooLarge := fmt.Errorf("%s: the file has more than %s, which is more than any module", path, formatBytes(maxModuleSize))
	if info, err := f.Stat(); err == nil && info.Size() > maxModuleSize {
		return nil, tooLarge
	}
	code, err := io.ReadAll(io.LimitReader(f, maxModuleSize+1)) // a device has no size
	switch {
	case err != nil:
		return nil, fileError(path, err)
	case len(code) == 0:
		return nil, fmt.Errorf("%s: the file is empty", path)
	case len(code) > maxModuleSize:
		return nil, tooLarge
	}
	return code, nil
}

// fileError says in plain words why the module could not be read.
func fileError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: no such file; here the path of a Wasm module is expected", path)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("%s: is a directory; name the module in it", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: no permission to read the file", path)
	}
	return err // names the path by itself
}

// checkModule holds the module against the contract and then the grants against
// this machine, in that order, before any broker is contacted. All its errors
// lead to exit code 2.
func checkModule(module *wasihost.Module, guest *wasihost.Config) error {
	if err := module.Check(); err != nil {
		return refused(err)
	}
	if err := guest.Check(); err != nil {
		return refused(err)
	}
	return nil
}
