package e2e

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// containerRun is one run of a container: another id, start or count of restarts is another run.
type containerRun struct {
	id       string
	started  time.Time
	restarts int32
}

// runs lists the containers of the pods of the namespaces as they run now.
func (p *platform) runs(ctx context.Context, namespaces ...string) (map[string]containerRun, error) {
	all := map[string]containerRun{}
	for _, namespace := range namespaces {
		pods, err := p.kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for _, pod := range pods.Items {
			for _, c := range pod.Status.ContainerStatuses {
				run := containerRun{id: c.ContainerID, restarts: c.RestartCount}
				if c.State.Running != nil {
					run.started = c.State.Running.StartedAt.Time
				}
				all[pod.Namespace+"/"+pod.Name+"/"+c.Name] = run
			}
		}
	}
	return all, nil
}

// lasting are the namespaces whose pods nobody but a test about them stops.
var lasting = []string{"kube-system", "islet-system", sampleNamespace}

// watchRuns notes the containers that run, and returns a function that complains about each that is not the same any more.
func (p *platform) watchRuns(t *testing.T) (unchanged func()) {
	t.Helper()
	before, err := p.runs(t.Context(), lasting...)
	if err != nil {
		t.Fatal(err)
	}
	if len(before) == 0 {
		t.Fatal("nothing runs")
	}
	return func() {
		t.Helper()
		after, err := p.runs(t.Context(), lasting...)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(before, after) {
			t.Errorf("containers were restarted:\n%s", diffRuns(before, after))
		}
	}
}

func diffRuns(before, after map[string]containerRun) (text string) {
	for name, was := range before {
		if is := after[name]; is != was {
			text += fmt.Sprintf("%s: was %+v, is %+v\n", name, was, is)
		}
	}
	for name, is := range after {
		if _, ok := before[name]; !ok {
			text += fmt.Sprintf("%s is new: %+v\n", name, is)
		}
	}
	return text
}
