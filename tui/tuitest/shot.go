package tuitest

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"islet/tui/screen"
)

// ScreensVariable names the directory that Shoot writes to; `make screens` sets it.
const ScreensVariable = "SCREENS"

// Shoot draws a page for the documentation, as name.txt and name.png at 100 by 30. Without the variable it does nothing but
// draw.
func Shoot(t *testing.T, name string, build func(ctx *screen.Context) screen.Page) {
	t.Helper()
	ctx := Context(Profiles["unicode"])
	root := screen.New(ctx, build(ctx))
	root.Update(tea.WindowSizeMsg{Width: 100, Height: 30})
	drawn := root.Render()
	picture, err := Picture(drawn)
	if err != nil {
		t.Fatal(err)
	}
	dir := os.Getenv(ScreensVariable)
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".txt"), []byte(trimLines(ansi.Strip(drawn))+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, name+".png"))
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, picture); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
