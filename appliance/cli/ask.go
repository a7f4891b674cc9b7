package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// terminal returns standard input if a person is at the other end.
func terminal(env *Env) (*os.File, bool) {
	in, ok := env.Stdio.In.(*os.File)
	return in, ok && term.IsTerminal(int(in.Fd()))
}

// ask reads one line, without blanks around it. The question goes to standard error, as results are
// all that standard output gets.
func ask(ctx context.Context, env *Env, in io.Reader, question string) (string, error) {
	fmt.Fprint(env.Stdio.Err, question)
	line, err := readLine(ctx, in)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return line, err
}

// readLine reads one line, without blanks around it; io.EOF says that there was no end to it. When ctx ends first, the read
// is left behind: nothing can end it but the end of the process, which comes next.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := bufio.NewReader(in).ReadString('\n')
		read <- result{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-read:
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return "", fmt.Errorf("read answer: %w", r.err)
		}
		return strings.TrimSpace(r.line), r.err
	}
}
