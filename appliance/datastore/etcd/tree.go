package etcd

import "bytes"

// bounds are those of the keys below a branch: the first that may be there, and the first that may not.
// nil is none.
type bounds struct{ from, to []byte }

// admit returns an error unless a key is in its order after the one before, if there is one.
func (b bounds) admit(key, before []byte, id uint64) error {
	if b.from != nil && bytes.Compare(key, b.from) < 0 || b.to != nil && bytes.Compare(key, b.to) >= 0 ||
		before != nil && bytes.Compare(key, before) <= 0 {
		return damaged("the keys of page %d are not in their order", id)
	}
	return nil
}

// bucketAt looks at all pages of a bucket.
func (p *pages) bucketAt(root uint64) error {
	_, err := p.tree(root, bounds{})
	return err
}

// tree looks at a page and at those below it, and returns the last key; nil when there is none.
func (p *pages) tree(id uint64, within bounds) (last []byte, err error) {
	page, flags, err := p.read(id)
	if err != nil {
		return nil, err
	}
	switch flags {
	case leafPage:
		return p.leaf(page, id, within)
	case branchPage:
		return p.branch(page, id, within)
	}
	return nil, damaged("page %d is of the kind %x", id, flags)
}

// element returns the head of the element i, and what is at its position.
func element(page []byte, i int, sizeAt int) (head, body []byte, ok bool) {
	at := pageHead + i*elementHead
	if at+elementHead > len(page) {
		return nil, nil, false
	}
	head = page[at : at+elementHead]
	start := uint64(at) + uint64(native.Uint32(head[sizeAt-4:]))
	end := start + uint64(native.Uint32(head[sizeAt:]))
	if sizeAt == leafSizes {
		end += uint64(native.Uint32(head[sizeAt+4:]))
	}
	if end > uint64(len(page)) {
		return nil, nil, false
	}
	return head, page[start:end], true
}

func (p *pages) branch(page []byte, id uint64, within bounds) (last []byte, err error) {
	count := int(native.Uint16(page[10:]))
	if count == 0 {
		return nil, damaged("page %d has no branches", id)
	}
	for i := range count {
		head, key, ok := element(page, i, branchSizes)
		if !ok {
			return nil, damaged("an element of page %d is not in it", id)
		}
		if err := within.admit(key, last, id); err != nil {
			return nil, err
		}
		below := bounds{key, within.to}
		if _, next, ok := element(page, i+1, branchSizes); ok && i+1 < count {
			below.to = next
		}
		if last, err = p.tree(native.Uint64(head[8:]), below); err != nil {
			return nil, err
		}
	}
	return last, nil
}

func (p *pages) leaf(page []byte, id uint64, within bounds) (last []byte, err error) {
	for i := range int(native.Uint16(page[10:])) {
		head, body, ok := element(page, i, leafSizes)
		if !ok {
			return nil, damaged("an element of page %d is not in it", id)
		}
		size := native.Uint32(head[leafSizes:])
		key, value := body[:size:size], body[size:]
		if err := within.admit(key, last, id); err != nil {
			return nil, err
		}
		last = key
		if native.Uint32(head)&bucketElement == 0 {
			continue
		}
		if err := p.bucket(value, id); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// bucket looks at a bucket's pages. A small one has its only page behind its head, in the page that it is in.
func (p *pages) bucket(value []byte, id uint64) error {
	if len(value) < bucketHead {
		return damaged("a bucket in page %d is cut short", id)
	}
	if root := native.Uint64(value); root != 0 {
		return p.bucketAt(root)
	}
	inline := value[bucketHead:]
	if len(inline) < pageHead || native.Uint16(inline[8:]) != leafPage {
		return damaged("a bucket in page %d is no page", id)
	}
	_, err := p.leaf(inline, id, bounds{})
	return err
}
