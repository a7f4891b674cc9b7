// Package compress turns files into zstd streams as small as they get while they still unpack at full speed.
package compress

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
)

// Zstd runs the zstd program. The in-process encoders stop at about level 11: measured on the engines they give
// 12 % more bytes than level 19, which would break the size budget. Unpacking costs the same.
type Zstd struct {
	Program string // path of a zstd executable of the version in the lock file: another may give other bytes
	Level   int    // 1 to 19
}

// ID names what determines the output besides the input.
func (z Zstd) ID() string { return "zstd-" + strconv.Itoa(z.Level) }

// Compress reads size bytes from src and writes the compressed stream to dst. The output does not depend on the number
// of processors: zstd's job splitting is the same for any number of workers above zero.
func (z Zstd) Compress(ctx context.Context, dst io.Writer, src io.Reader, size int64) error {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, z.Program,
		"-q", "-c", "-"+strconv.Itoa(z.Level), "-T2", "--stream-size="+strconv.FormatInt(size, 10))
	cmd.Env = []string{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = src, dst, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("zstd: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return nil
}
