package etcd

import (
	"encoding/binary"
	"hash/fnv"
	"os"

	bbolt "go.etcd.io/bbolt"
)

// The format of bbolt's pages, version 2. Numbers are in the machine's byte order.
const (
	pageMagic   = 0xED0CDAED
	pageVersion = 2
	pageHead    = 16 // id, flags, count, overflow
	elementHead = 16 // of a branch: pos, key size, page; of a leaf: flags, pos, key size, value size
	branchSizes = 4  // where the sizes begin in that
	leafSizes   = 8
	bucketHead  = 16 // root, sequence
	metaSummed  = 56 // bytes of a meta page before its checksum

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	bucketElement = 0x01
	countIsFirst  = 0xFFFF     // a longer list of free pages has its length in its first element
	noFreelist    = ^uint64(0) // the list was not written
)

var native = binary.NativeEndian

// pages reads a database page by page, without trusting any of them. bbolt's own check does: on one that
// is garbage it reads outside of the file's mapping, and where keys are not in their order it goes on
// reading in a goroutine after it has given up and the file is closed (v1.5.0, DB.freepages). Either
// ends the process. What this finds sound can be left to bbolt.
type pages struct {
	file *os.File
	size uint64 // of a page
	end  uint64 // the first that is not in use
	seen []bool
}

// checkPages looks at every page of an open database that bbolt would reach.
func checkPages(db *bbolt.DB) error {
	file, err := os.Open(db.Path())
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	p := pages{file: file, size: uint64(db.Info().PageSize)}
	root, freelist, err := p.meta()
	if err != nil {
		return err
	}
	if p.end > uint64(info.Size())/p.size {
		return damaged("the file was cut short: it has %d of %d pages", uint64(info.Size())/p.size, p.end)
	}
	p.seen = make([]bool, p.end)
	if freelist != noFreelist {
		if err := p.freelist(freelist); err != nil {
			return err
		}
	}
	return p.bucketAt(root)
}

// meta reads what the newest of the two meta pages that is whole says.
func (p *pages) meta() (root, freelist uint64, err error) {
	newest := uint64(0)
	for id := range uint64(2) {
		page := make([]byte, pageHead+metaSummed+8)
		if _, err := p.file.ReadAt(page, int64(id*p.size)); err != nil {
			return 0, 0, err
		}
		m := page[pageHead:]
		sum := fnv.New64a()
		_, _ = sum.Write(m[:metaSummed]) // a hash takes everything
		whole := native.Uint32(m) == pageMagic && native.Uint32(m[4:]) == pageVersion && native.Uint64(m[metaSummed:]) == sum.Sum64()
		if tx := native.Uint64(m[48:]); whole && tx >= newest {
			newest, root, freelist, p.end = tx, native.Uint64(m[16:]), native.Uint64(m[32:]), native.Uint64(m[40:])
		}
	}
	if p.end == 0 {
		err = damaged("neither of the meta pages is whole")
	}
	return root, freelist, err
}

// read returns a page with all that belongs to it. No page belongs to two.
func (p *pages) read(id uint64) (page []byte, flags uint16, err error) {
	head := make([]byte, pageHead)
	if id < 2 || id >= p.end {
		return nil, 0, damaged("there is no page %d", id)
	}
	if _, err := p.file.ReadAt(head, int64(id*p.size)); err != nil {
		return nil, 0, err
	}
	said, overflow := native.Uint64(head), uint64(native.Uint32(head[12:]))
	if said != id || id+overflow >= p.end {
		return nil, 0, damaged("page %d says that it is %d, with %d more", id, said, overflow)
	}
	for i := id; i <= id+overflow; i++ {
		if p.seen[i] {
			return nil, 0, damaged("page %d is used twice", i)
		}
		p.seen[i] = true
	}
	page = make([]byte, (overflow+1)*p.size)
	_, err = p.file.ReadAt(page, int64(id*p.size))
	return page, native.Uint16(head[8:]), err
}

func (p *pages) freelist(id uint64) error {
	page, flags, err := p.read(id)
	if err != nil {
		return err
	}
	count := uint64(native.Uint16(page[10:]))
	if count == countIsFirst {
		count = native.Uint64(page[pageHead:]) + 1
	}
	if flags != freelistPage || count > uint64(len(page)-pageHead)/8 {
		return damaged("page %d is no list of free pages", id)
	}
	return nil
}
