// Package manual is the operator's pages as topics, and shows them on a terminal.
package manual

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// ErrNoTopic is returned for a name that no page has.
var ErrNoTopic = errors.New("there is no such topic")

// Topic is one page.
type Topic struct {
	Name    string `json:"name"`    // such as backup, or disk-slow
	Title   string `json:"title"`   // its first heading, as plain text
	Problem bool   `json:"problem"` // it explains a problem that `appliance status` reports
	file    string
}

const (
	dir      = "operator"
	problems = "operator/problems"
	index    = "README"
)

// Topics lists the pages of a tree with operator/*.md and operator/problems/*.md by name, problems last. The list of all
// problems, operator/problems/README.md, is the topic "problems".
func Topics(pages fs.FS) ([]Topic, error) {
	var all []Topic
	for _, folder := range []string{dir, problems} {
		names, err := fs.Glob(pages, folder+"/*.md")
		if err != nil {
			return nil, err
		}
		for _, file := range names {
			topic, err := read(pages, file)
			if err != nil {
				return nil, err
			}
			all = append(all, topic)
		}
	}
	slices.SortStableFunc(all, func(a, b Topic) int {
		if a.Problem != b.Problem {
			return map[bool]int{true: 1, false: -1}[a.Problem]
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, nil
}

func read(pages fs.FS, file string) (Topic, error) {
	text, err := fs.ReadFile(pages, file)
	if err != nil {
		return Topic{}, err
	}
	t := Topic{Name: topicOf(file), file: file}
	t.Problem = path.Dir(file) == problems && t.Name != path.Base(problems)
	t.Title = title(text)
	return t, nil
}

// topicOf is the name of a page's topic. An index goes by the name of its folder.
func topicOf(file string) string {
	name := strings.TrimSuffix(path.Base(file), ".md")
	if name == index {
		name = path.Base(path.Dir(file))
	}
	return name
}

// Find returns the topic of that name; capitals do not matter. The error names the nearest topic.
func Find(topics []Topic, name string) (Topic, error) {
	name = strings.TrimSuffix(strings.ToLower(name), ".md")
	best, distance := "", 1+len(name)/2
	for _, t := range topics {
		if t.Name == name {
			return t, nil
		}
		if n := levenshtein.Distance(name, t.Name, nil); n < distance {
			best, distance = t.Name, n
		}
	}
	if best != "" {
		return Topic{}, fmt.Errorf("%w: %q; did you mean %s?", ErrNoTopic, name, best)
	}
	return Topic{}, fmt.Errorf("%w: %q", ErrNoTopic, name)
}

// Text is the topic's page as it was written, in Markdown.
func (t Topic) Text(pages fs.FS) ([]byte, error) { return fs.ReadFile(pages, t.file) }
