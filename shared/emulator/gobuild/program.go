package gobuild

import (
	"cmp"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// program returns the program in a folder that a build has filled, or was there before.
// The error says why Lambda, or this machine, would not run it.
func (f *Function) program(folder string) (string, error) {
	program := filepath.Join(folder, bootstrap)
	info, err := os.Stat(program)
	there := err == nil && info.Mode().IsRegular()
	switch other := f.function.Handler; {
	case there && executable(info):
		return program, f.checkPlatform(program)
	case there && (f.prebuilt() || f.archive != ""):
		return "", fmt.Errorf("%s in its CodeUri %s is not executable, and Lambda would not run it: "+
			"set its mode (chmod +x); on Windows zip it with build-lambda-zip of github.com/aws/aws-lambda-go",
			bootstrap, f.function.CodeURI)
	case !there && other != bootstrap && filepath.IsLocal(other):
		if info, err := os.Stat(filepath.Join(folder, other)); err == nil && executable(info) {
			return "", fmt.Errorf("its program %s must be called %s: that is what the runtime %s runs, whatever the Handler says",
				other, bootstrap, f.function.Runtime)
		}
	}
	return "", f.noProgram()
}

func (f *Function) noProgram() error {
	switch {
	case f.archive != "":
		return fmt.Errorf("its CodeUri %s has no program called %s, outside of any folder", f.function.CodeURI, bootstrap)
	case f.prebuilt():
		return fmt.Errorf("its CodeUri %s has no Go files, no Makefile with a target build-%s for ARTIFACTS_DIR, and no program called %s",
			f.function.CodeURI, f.function.LogicalID, bootstrap)
	case f.makefile != nil:
		return fmt.Errorf("make left no program called %s: does it write to ARTIFACTS_DIR?", bootstrap)
	}
	return errors.New("go build left no program: is it a main package?")
}

func executable(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && (info.Mode()&0o111 != 0 || runtime.GOOS == "windows")
}

// checkPlatform refuses a program that this machine can't run. A script may be anything.
func (f *Function) checkPlatform(program string) error {
	file, err := os.Open(program) //nolint:gosec // it is to be run
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	script := make([]byte, 2)
	if _, err := io.ReadFull(file, script); err == nil && string(script) == "#!" {
		return nil
	}
	const here = runtime.GOOS + "/" + runtime.GOARCH
	switch platforms := platformsOf(file); {
	case platforms == nil:
		return errors.New("its bootstrap is neither a program nor a script: the first line of one begins with #! and its interpreter")
	case slices.Contains(platforms, here):
		return nil
	case f.makefile != nil:
		return fmt.Errorf("make built a program for %s, and this machine is %s: the runner sets GOOS and GOARCH for make; "+
			"don't set them in the Makefile, or only if they are not set (GOARCH ?= arm64)", strings.Join(platforms, ", "), here)
	default:
		return fmt.Errorf("its bootstrap is a program for %s, and this machine is %s: "+
			"build it with GOOS=%s GOARCH=%s, or let CodeUri be the source, which the runner builds",
			strings.Join(platforms, ", "), here, runtime.GOOS, runtime.GOARCH)
	}
}

// platformsOf returns what a program is for, as GOOS/GOARCH; nil if it is not a program.
func platformsOf(file io.ReaderAt) (platforms []string) {
	if p, err := elf.NewFile(file); err == nil {
		system := map[elf.OSABI]string{
			elf.ELFOSABI_FREEBSD: "freebsd", elf.ELFOSABI_NETBSD: "netbsd", elf.ELFOSABI_OPENBSD: "openbsd", elf.ELFOSABI_SOLARIS: "solaris",
		}[p.OSABI]
		machine := map[elf.Machine]string{
			elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm", elf.EM_RISCV: "riscv64",
			elf.EM_S390: "s390x", elf.EM_PPC64: "ppc64le", elf.EM_LOONGARCH: "loong64",
		}[p.Machine]
		return []string{cmp.Or(system, "linux") + "/" + cmp.Or(machine, p.Machine.String())}
	}
	cpu := func(c macho.Cpu) string {
		machine := map[macho.Cpu]string{macho.CpuAmd64: "amd64", macho.CpuArm64: "arm64"}[c]
		return "darwin/" + cmp.Or(machine, c.String())
	}
	if p, err := macho.NewFile(file); err == nil {
		return []string{cpu(p.Cpu)}
	}
	if p, err := macho.NewFatFile(file); err == nil {
		for _, arch := range p.Arches {
			platforms = append(platforms, cpu(arch.Cpu))
		}
		return platforms
	}
	if p, err := pe.NewFile(file); err == nil {
		machine := map[uint16]string{pe.IMAGE_FILE_MACHINE_AMD64: "amd64", pe.IMAGE_FILE_MACHINE_ARM64: "arm64"}[p.Machine]
		return []string{"windows/" + cmp.Or(machine, fmt.Sprintf("%#x", p.Machine))}
	}
	return nil
}
