// Package fetch gets the blobs of a bundle that a machine lacks from the servers of its site: several at once, from
// several servers, each compared with the digest that the signed index gives. It may end anywhere and goes on from there.
package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"islet/bundle"
)

// ErrUnfinished is returned when no server is left that could give the rest. What has come is kept for the next Run.
var ErrUnfinished = errors.New("the rest of the bundle could not be fetched")

// Source is a server that has the bundle. An error that wraps bundle.ErrNotFound says that it has not, now or later.
type Source interface {
	Name() string
	// Frame gives the bytes around the blobs, Blob those of one blob from offset on.
	Frame(ctx context.Context, bundle digest.Digest) (io.ReadCloser, error)
	Blob(ctx context.Context, bundle, blob digest.Digest, offset int64) (io.ReadCloser, error)
}

// Options says what to fetch, and from where.
type Options struct {
	Draft   *bundle.Draft
	Parts   string           // directory of blobs that are not whole yet; made if missing, and empty in the end
	Local   []*bundle.Reader // what this machine has already; blobs of theirs are not fetched
	Sources []Source

	Progress bundle.Progress                // of what this Run has to fetch; may be nil
	Warn     func(source string, why error) // a source is not asked any more; may be nil
	Patience time.Duration                  // how long a source may give nothing; a minute if 0

	stall time.Duration // stallLimit if 0; tests are in more of a hurry
}

const (
	streams    = 3 // at once from one source
	patience   = time.Minute
	stallLimit = 20 * time.Second // without a byte: the connection is dead
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// Room is how many bytes Run needs at most besides the draft: blobs are put into it when they are whole.
func Room(index *bundle.Index, sources int) int64 {
	var sizes []int64
	for _, b := range index.Blobs {
		sizes = append(sizes, b.Size)
	}
	slices.Sort(sizes)
	room := int64(0)
	for _, size := range sizes[max(0, len(sizes)-streams*sources):] {
		room += size
	}
	return room
}

// Result says what it took.
type Result struct {
	Bytes   int64            `json:"bytes"`   // of all blobs
	Kept    int64            `json:"kept"`    // were here before
	Fetched int64            `json:"fetched"` // came over the network, those that were thrown away included
	From    map[string]int64 `json:"from"`    // of the fetched bytes, by source
}

// Run fills the draft in. Afterwards the parts are gone, and the draft waits for its Finish. When ctx ends or no source is
// left, what has come stays.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := os.MkdirAll(o.Parts, 0o700); err != nil {
		return Result{}, err
	}
	r := &run{Options: o, result: Result{From: map[string]int64{}}}
	r.changed = sync.NewCond(&r.mu)
	r.Patience, r.stall = cmp.Or(r.Patience, patience), cmp.Or(r.stall, stallLimit)
	if err := r.survey(ctx); err != nil {
		return r.result, err
	}
	ctx, r.fail = context.WithCancelCause(ctx)
	defer r.fail(nil)
	defer context.AfterFunc(ctx, r.wake)()
	var working sync.WaitGroup
	for _, s := range o.Sources {
		w := &source{Source: s, heard: time.Now()}
		r.sources = append(r.sources, w)
		for range streams {
			working.Go(func() { r.work(ctx, w) })
		}
	}
	working.Wait()
	if err := r.verdict(ctx); err != nil {
		return r.result, err
	}
	return r.result, os.RemoveAll(o.Parts)
}

// run is the state that the streams share.
type run struct {
	Options
	sources []*source
	fail    context.CancelCauseFunc // ends all: it is not a source that is wrong

	mu      sync.Mutex // taken before that of a source, never after it
	changed *sync.Cond // a blob was put back, or the last one is here
	waiting []task     // nobody has it in hand; the next is the last
	inHand  int
	missing int64 // bytes to be fetched in this run
	done    int64 // of those
	result  Result
}

// task is a blob, or the frame.
type task struct {
	bundle.Blob
	frame bool
}

// source is a Source with what is known of it in this run.
type source struct {
	Source
	mu    sync.Mutex
	heard time.Time // when it last gave something
	gone  error     // why it is no longer asked
}

func (s *source) isGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone != nil
}

func (s *source) lastHeard() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

// survey finds out what is missing: blobs that are here are not fetched, and of parts only the rest.
func (r *run) survey(ctx context.Context) error {
	for _, b := range r.Draft.Index().Blobs {
		r.result.Bytes += b.Size
		has, err := r.Draft.Has(ctx, b.Digest)
		if err == nil && !has {
			has, err = r.takeLocal(ctx, b)
		}
		if err != nil {
			return err
		}
		if has {
			r.result.Kept += b.Size
			if err := r.dropPart(b.Digest); err != nil {
				return err
			}
			continue
		}
		part := r.partSize(b)
		r.result.Kept += part
		r.missing += b.Size - part
		r.waiting = append(r.waiting, task{Blob: b})
	}
	// The large ones first: they last longest, and what is left at the end is soon here.
	slices.SortFunc(r.waiting, func(a, b task) int { return cmp.Compare(a.Size, b.Size) })
	r.waiting = append(r.waiting, task{frame: true})
	return nil
}

// takeLocal copies a blob that another bundle on this machine has.
func (r *run) takeLocal(ctx context.Context, b bundle.Blob) (bool, error) {
	for _, l := range r.Local {
		content, err := l.Blob(ctx, b.Digest)
		if errors.Is(err, bundle.ErrNotFound) {
			continue
		}
		if err == nil {
			err = errors.Join(r.Draft.WriteBlob(b.Digest, content), content.Close())
		}
		if err == nil || ctx.Err() != nil {
			return err == nil, err
		}
		if !errors.Is(err, bundle.ErrAltered) && !errors.Is(err, bundle.ErrTruncated) {
			return false, err
		}
	}
	return false, nil
}

// work gives one stream of a source its tasks until none is left or the source is not asked any more.
func (r *run) work(ctx context.Context, s *source) {
	retry := firstRetry
	for {
		t, ok := r.take(ctx, s)
		if !ok {
			return
		}
		before := s.lastHeard()
		err := r.do(ctx, s, t)
		r.giveBack(t, err)
		if s.lastHeard() != before {
			retry = firstRetry
		}
		if err == nil {
			continue
		}
		if _, ours := errors.AsType[*fs.PathError](err); ours {
			r.fail(err)
		}
		if ctx.Err() != nil || r.judge(s, err) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retry):
			retry = min(2*retry, lastRetry)
		}
	}
}

// take waits for a task: those that others have in hand may come back.
func (r *run) take(ctx context.Context, s *source) (task, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.waiting) == 0 && r.inHand > 0 && ctx.Err() == nil && !s.isGone() {
		r.changed.Wait()
	}
	if len(r.waiting) == 0 || ctx.Err() != nil || s.isGone() {
		return task{}, false
	}
	t := r.waiting[len(r.waiting)-1]
	r.waiting = r.waiting[:len(r.waiting)-1]
	r.inHand++
	return t, true
}

func (r *run) giveBack(t task, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inHand--
	if err != nil {
		r.waiting = append(r.waiting, t)
	}
	r.changed.Broadcast()
}

func (r *run) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed.Broadcast()
}

// judge says whether a source is not to be asked any more after what it did.
func (r *run) judge(s *source, err error) bool {
	gone, now := s.judge(err, r.Patience)
	if now {
		if r.Warn != nil {
			r.Warn(s.Name(), err)
		}
		r.wake()
	}
	return gone
}

// judge says whether the source is gone, and whether it is since now.
func (s *source) judge(err error, patience time.Duration) (gone, now bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	final := errors.Is(err, bundle.ErrAltered) || errors.Is(err, bundle.ErrNotFound)
	if s.gone != nil || !final && time.Since(s.heard) < patience {
		return s.gone != nil, false
	}
	s.gone = err
	return true, true
}

// verdict is the error of a run that has not got everything.
func (r *run) verdict(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	errs := []error{ErrUnfinished}
	for _, s := range r.sources { // all have gone
		errs = append(errs, fmt.Errorf("%s: %w", s.Name(), s.gone))
	}
	return errors.Join(errs...)
}

// note counts what has come.
func (r *run) note(s *source, n int64) {
	s.mu.Lock()
	s.heard = time.Now()
	s.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Fetched += n
	r.result.From[s.Name()] += n
	r.done += n
	if r.Progress != nil {
		r.Progress(r.done, r.missing)
	}
}

// discard counts a blob that was thrown away and is to be fetched once more.
func (r *run) discard(b bundle.Blob) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.missing += b.Size
}

func (r *run) partPath(d digest.Digest) string { return filepath.Join(r.Parts, d.Encoded()) }
