package manual

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark/ast"

	"islet/docs"
)

var update = flag.Bool("update", false, "write golden files")

func TestTopics(t *testing.T) {
	t.Parallel()
	topics, err := Topics(docs.Pages)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, topic := range topics {
		if seen[topic.Name] || topic.Title == "" || strings.ToLower(topic.Name) != topic.Name {
			t.Errorf("%+v has no title, or a name that another has or that cannot be found", topic)
		}
		seen[topic.Name] = true
	}
	for name, problem := range map[string]bool{"problems": false, "exit-codes": false, "disk-slow": true} {
		i := slices.IndexFunc(topics, func(t Topic) bool { return t.Name == name })
		if i < 0 || topics[i].Problem != problem {
			t.Errorf("%s is no topic, or of the wrong kind", name)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	topics := []Topic{{Name: "backup"}, {Name: "disk-slow", Problem: true}}
	for name, want := range map[string]string{
		"backup": "", "Disk-Slow": "", "backup.md": "", "bakcup": "did you mean backup?", "disk-slo": "did you mean disk-slow?", "zzzzzzzz": `"zzzzzzzz"`,
	} {
		_, err := Find(topics, name)
		if want == "" && err != nil || want != "" && (!errors.Is(err, ErrNoTopic) || !strings.HasSuffix(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// What the renderer does not know it would leave out, so the pages must not hold it.
func TestPagesHoldWhatCanBeShown(t *testing.T) {
	t.Parallel()
	topics, err := Topics(docs.Pages)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		source, err := topic.Text(docs.Pages)
		if err != nil {
			t.Fatal(err)
		}
		err = ast.Walk(parse(source), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
			switch n := n.(type) {
			case *ast.HTMLBlock, *ast.RawHTML, *ast.Image:
				t.Errorf("%s holds %s, which no terminal shows", topic.Name, n.Kind())
			case *ast.Link:
				link, _, _ := strings.Cut(string(n.Destination), "#")
				if strings.HasSuffix(link, ".md") && !strings.Contains(link, "adr/") && entering {
					if _, err := Find(topics, topicOf(filepath.Join(dir, link))); err != nil {
						t.Errorf("%s links to %s: %v", topic.Name, link, err)
					}
				}
			}
			return ast.WalkContinue, nil
		})
		if err != nil {
			t.Error(err)
		}
		// Every word of the page is on the screen, whatever its width.
		for _, width := range []int{0, 40, 80, 132} {
			var out strings.Builder
			if err := Render(&out, source, Style{Width: width}); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				if n := visible(strings.TrimRight(line, "\n")); n > 132 && !strings.HasPrefix(line, "    ") {
					t.Errorf("%s at %d: a line of %d columns: %s", topic.Name, width, n, line)
				}
			}
			for word := range strings.FieldsSeq(plainText(source)) {
				if !strings.Contains(strings.ToLower(out.String()), strings.ToLower(word)) {
					t.Errorf("%s at %d lacks %q", topic.Name, width, word)
				}
			}
		}
	}
}

// plainText is the text of a page without links, whose words may be replaced.
func plainText(source []byte) string {
	var b strings.Builder
	_ = ast.Walk(parse(source), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if _, link := n.(*ast.Link); link {
			return ast.WalkSkipChildren, nil
		}
		if text, ok := n.(*ast.Text); ok && entering {
			b.WriteString(" " + unescape(string(text.Value(source))))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

const sample = `# A *page* of ` + "`everything`" + `

A paragraph with **strong words**, a command (` + "`appliance status -o json`" + `), a [page](backup.md), [nodes.md](nodes.md), a
[problem](problems/disk-slow.md#x) and [elsewhere](https://example.com/a). 1 \* 2 \< 3.

## Lists

- one
- two, which is longer than the line is wide so that it goes on below its own first word
  - deeper

3. third
4. fourth

   with a paragraph

> quoted

| Code | What it means, at length |
|---|---|
| ` + "`a-very-long-code`" + ` | short |
| b | a cell with many words, more than fit beside the other |

    code  as it is, however long the line may be in the end: longer than the screen

` + "```sh\nfenced\n```\n"

func TestRenderGolden(t *testing.T) {
	t.Parallel()
	for name, style := range map[string]Style{"narrow": {Width: 30}, "plain": {Width: 80}, "bold": {Width: 60, Bold: true}} {
		var out strings.Builder
		if err := Render(&out, []byte(sample), style); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if out.String() != string(want) {
			t.Errorf("%s has changed; if that is right, run the test with -update\n%s", path, out.String())
		}
		if strings.Contains(out.String(), "\x1b") != style.Bold {
			t.Errorf("%s: marks where there must be none, or none", name)
		}
	}
}
