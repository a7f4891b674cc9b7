package dashboard

import (
	"slices"
	"strings"

	"islet/appliance/paas/survey"
	"islet/appliance/paas/v1alpha1"
	"islet/tui/theme"
)

// marked says whether anything is another one than in the environment before.
func (a *applications) marked(line []survey.Environment, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		for at := range line {
			if differs(a.seen, line, at, name) {
				return true
			}
		}
		return false
	})
}

// stateText is the state with its one cause.
func (p *platform) stateText(app survey.Application) string {
	text := p.ctx.T(string(app.State))
	if app.Ready != "" {
		text += " " + app.Ready
	}
	if app.Message != "" {
		text += ": " + p.ctx.Say(app.Message)
	}
	return text
}

func stateOfApp(s v1alpha1.State) theme.Tone {
	switch s {
	case v1alpha1.StateReady:
		return theme.Good
	case v1alpha1.StateProgressing:
		return theme.Warning
	case v1alpha1.StateDegraded:
		return theme.Bad
	case v1alpha1.StateStopped:
		return theme.Dim
	}
	return theme.Plain
}

// differs says that an application is another one than in the environment before. What is not there is no difference: it has not
// been promoted yet.
func differs(s survey.Survey, line []survey.Environment, at int, name string) bool {
	if at == 0 {
		return false
	}
	before, was := s.Application(line[at-1].Name, name)
	here, is := s.Application(line[at].Name, name)
	return was && is && (before.Release != here.Release || !slices.Equal(before.Images, here.Images))
}

// running is what runs, in a word: the version of the release, else the beginning of the image's digest.
func running(app survey.Application) string {
	if v := app.Version(); v != "" {
		return v
	}
	for _, image := range app.Images {
		if _, digest, ok := strings.Cut(image, "@sha256:"); ok {
			return "@" + digest[:min(7, len(digest))]
		}
	}
	return "-"
}
