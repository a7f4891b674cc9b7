package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/api"
	"islet/tui/screen"
	"islet/tui/theme"
)

// podsEvery is how often Kubernetes is asked for its pods while they are looked at, and at no other time.
const podsEvery = 5 * time.Second

// pods are what runs, by environment.
type pods struct {
	*list
	all   []api.Pod
	asked time.Time // when all was answered; zero before
	err   error
	id    int
	open  bool // in front since the last question
}

type (
	podsMsg struct {
		id   int
		pods []api.Pod
		err  error
		at   time.Time
	}
	podsAgainMsg struct{ id int }
)

func newPods(b *board) *pods {
	p := &pods{}
	p.list = newList(b, []column{
		{title: "ENVIRONMENT", most: 20}, {title: "POD", flex: true}, {title: "READY", right: true}, {title: "STATE", most: 18},
		{title: "RESTARTS", right: true, from: 80}, {title: "AGE", right: true, from: 80}, {title: "NODE", from: 100, most: 16}, {title: "WHY", from: 120, most: 40},
	}, p.podRows)
	p.list.open = func(name string) screen.Page { return newPod(b, name) }
	p.twin = screen.Command{Args: []string{"kubectl", "get", "pods", "-A", "-o", "wide"}, Kubectl: "kubectl get pods -A -o wide"}
	p.more = []key.Binding{keyLog, keyShell}
	p.act = func(name string, msg tea.KeyPressMsg) tea.Cmd { return b.podAction(name, msg) }
	return p
}

func (p *pods) podRows() []row {
	var rows []row
	for _, pod := range p.all {
		tone := theme.Good
		if !pod.OK() {
			tone = theme.Bad
			if pod.State == "Pending" || pod.State == "ContainerCreating" || pod.State == "Running" {
				tone = theme.Warning
			}
		}
		rows = append(rows, row{pod.Namespace + "/" + pod.Name, []cell{
			{text: pod.Namespace}, {text: pod.Name}, {text: fmt.Sprintf("%d/%d", pod.Ready, pod.Total)}, {pod.State, tone},
			{text: fmt.Sprint(pod.Restarts)}, {text: p.age(pod.Created)}, {text: orDash(pod.Node)}, {text: pod.Detail},
		}})
	}
	return rows
}

// show asks at once, and drops what an earlier question still brings.
func (p *pods) show() tea.Cmd { return p.request() }

func (p *pods) request() tea.Cmd {
	p.id, p.open = p.ctx.NextID(), false
	id, source, now := p.id, p.source, p.ctx.Now
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), 2*askLimit)
		defer cancel()
		list, err := source.Pods(ctx)
		slices.SortFunc(list, func(a, b api.Pod) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
		return podsMsg{id, list, err, now()}
	}
}

func (p *pods) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case podsMsg:
		if msg.id != p.id {
			return nil
		}
		if p.err = msg.err; msg.err == nil {
			p.all, p.asked = msg.pods, msg.at
		}
		return p.again()
	case podsAgainMsg:
		switch {
		case msg.id != p.id:
		case p.open: // drawn since: somebody looks
			return p.request()
		default: // nothing is asked, but somebody may look again
			return p.again()
		}
	}
	return nil
}

func (p *pods) again() tea.Cmd {
	id := p.id
	return p.later(podsEvery, func(time.Time) tea.Msg { return podsAgainMsg{id} })
}

func (p *pods) view() string {
	p.open = true
	s := &sheet{ctx: p.ctx, width: p.table.width}
	p.banner(s)
	switch {
	case p.err != nil:
		s.say(theme.Bad, p.ctx.Theme.Fail()+" ", p.ctx.T("Kubernetes does not tell of its pods: %s", p.err))
		if p.asked.IsZero() {
			s.say(theme.Plain, "  ", p.ctx.T("Pods go on without it. See the components for what is wrong."))
			return join(s.lines, "")
		}
		s.say(theme.Warning, "  ", p.ctx.T("What follows is %s old.", p.age(p.asked)))
	case p.asked.IsZero():
		s.add(p.ctx.T("asking Kubernetes"))
		return join(s.lines, "")
	}
	p.table.fill(p.podRows())
	return p.below(s)
}

var keyShell = key.NewBinding(key.WithKeys("S"), key.WithHelp("S", "shell"))

// podAction shows the log of a pod, or opens a shell in it.
func (b *board) podAction(name string, msg tea.KeyPressMsg) tea.Cmd {
	namespace, pod, ok := strings.Cut(name, "/")
	if !ok {
		return nil
	}
	in := func(words ...string) screen.Command {
		args := append([]string{"-n", namespace}, words...)
		return screen.Command{Args: append([]string{"kubectl"}, args...), Kubectl: "kubectl " + strings.Join(args, " ")}
	}
	switch msg.String() {
	case "l":
		return screen.Push(newOutput(b, b.ctx.T("Log of %s", pod), in("logs", pod, "--all-containers", "--tail=1000")))
	case "S":
		shell := in("exec", "-it", pod, "--", "sh")
		if b.ctx.Enter == nil {
			return screen.Push(screen.NewCommand(b.ctx, shell))
		}
		return b.ctx.Enter(shell.Args)
	}
	return nil
}

// pod is the description of a pod, which says all that Kubernetes knows of it.
type pod struct {
	*output
	name string
}

func newPod(b *board, name string) *pod {
	namespace, short, _ := strings.Cut(name, "/")
	args := []string{"-n", namespace, "describe", "pod", short}
	return &pod{newOutput(b, short, screen.Command{Args: append([]string{"kubectl"}, args...), Kubectl: "kubectl " + strings.Join(args, " ")}), name}
}

// Keys implements screen.Page.
func (p *pod) Keys() []key.Binding {
	return append([]key.Binding{keyPodLog, keyShell}, p.output.Keys()...)
}

// keyPodLog is a capital here: l moves to the right in a text.
var keyPodLog = key.NewBinding(key.WithKeys("O"), key.WithHelp("O", "log"))

// Update implements screen.Page.
func (p *pod) Update(msg tea.Msg) tea.Cmd {
	if k, ok := msg.(tea.KeyPressMsg); ok && !p.pager.typing {
		switch k.String() {
		case "O":
			return p.podAction(p.name, tea.KeyPressMsg{Code: 'l', Text: "l"})
		case "S":
			return p.podAction(p.name, k)
		}
		if cmd, is := away(k); is {
			return cmd
		}
	}
	return p.output.Update(msg)
}
