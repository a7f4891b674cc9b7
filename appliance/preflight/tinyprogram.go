package preflight

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"runtime"
)

// tinyProgram is a complete static executable of some 130 bytes that exits with 0. It returns nil
// for processors it does not know.
func tinyProgram() []byte {
	machine, code := exitCode(runtime.GOARCH)
	if code == nil {
		return nil
	}
	const base, headers = 0x400000, 64 + 56 // ELF header and one program header
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Entry: base + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	size := uint64(headers + len(code))
	segment := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
		Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: 0x10000,
	}
	var file bytes.Buffer
	for _, part := range []any{header, segment, code} {
		_ = binary.Write(&file, binary.LittleEndian, part) // a buffer takes any write of fixed-size data
	}
	return file.Bytes()
}

// exitCode is exit(0) in machine code.
func exitCode(arch string) (elf.Machine, []byte) {
	switch arch {
	case "amd64":
		return elf.EM_X86_64, []byte{
			0xb8, 0x3c, 0x00, 0x00, 0x00, // mov eax, 60 (exit)
			0x31, 0xff, // xor edi, edi
			0x0f, 0x05, // syscall
		}
	case "arm64":
		return elf.EM_AARCH64, []byte{
			0xa8, 0x0b, 0x80, 0xd2, // mov x8, 93 (exit)
			0x00, 0x00, 0x80, 0xd2, // mov x0, 0
			0x01, 0x00, 0x00, 0xd4, // svc 0
		}
	default:
		return 0, nil
	}
}
