package dashboard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/paas/survey"
	"islet/appliance/paas/v1alpha1"
)

// pressed is a platform with two tenants: one with four environments, an application that waits for prod, and one in trouble.
func pressed() survey.Survey {
	s := survey.Survey{Tenants: []survey.Tenant{
		{Name: "news", Why: "no environment"},
		{Name: "press", Ready: true, Members: []v1alpha1.Member{{Kind: "User", Name: "ann", Role: v1alpha1.RoleOwner}, {Kind: "User", Name: "bob", Role: v1alpha1.RoleDeployer}, {Kind: "Group", Name: "night-shift", Role: v1alpha1.RoleViewer}}},
	}}
	for i, class := range []v1alpha1.Class{v1alpha1.ClassDev, v1alpha1.ClassTest, v1alpha1.ClassRelease, v1alpha1.ClassProd} {
		e := survey.Environment{Name: "press-" + string(class), Tenant: "press", Short: string(class), Class: class, Order: int32(10 * (i + 1)), MinReplicas: 2, Ready: true}
		e.Domain = e.Short + ".press.apps.harbour.example"
		if e.Prod() {
			e.Approvals = 2
		}
		s.Environments = append(s.Environments, e)
	}
	for i, version := range []string{"1.2", "1.2", "1.1", "1.1"} {
		s.Applications = append(s.Applications, runningApp(s.Environments[i].Name, "shop", version))
	}
	s.Applications[1].State, s.Applications[1].Message, s.Applications[1].Ready = v1alpha1.StateDegraded, "web: the container of web-6b7d9c-p0wl4 keeps ending: exit code 1", "2/3"
	s.Applications[1].Components[1].Ready = 0
	s.Applications[2].Beside = &survey.Beside{Release: "shop-1.2", Weight: 10, State: v1alpha1.StateReady, Ready: "3/3"}
	for i := range 2 {
		s.Applications = append(s.Applications, runningApp(s.Environments[i].Name, "bulletin", ""))
	}
	s.Applications[5].Stopped, s.Applications[5].State, s.Applications[5].Ready = true, v1alpha1.StateStopped, "0/0"
	slices.SortFunc(s.Applications, func(a, b survey.Application) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Name, b.Name))
	})
	s.Releases = []survey.Release{
		{Environment: "press-dev", Name: "shop-1.2", Application: "shop", Made: ago(5 * time.Hour)},
		{Environment: "press-test", Name: "shop-1.2", Application: "shop", Made: ago(4 * time.Hour)},
		{Environment: "press-prod", Name: "shop-1.1", Application: "shop", Made: ago(60 * time.Hour)},
	}
	s.Orders = []survey.Order{
		placed("press-prod", "shop-1.2-1", "bob", v1alpha1.PhasePending, "approvals are missing: 1 of 2, by others than bob", 12*time.Minute),
		placed("press-test", "shop-1.2-1", "bob", v1alpha1.PhaseRunning, "web: 1 of 2 replicas are new", 40*time.Second),
		placed("press-dev", "shop-1.2-1", "islet:admin", v1alpha1.PhaseDone, "", 5*time.Hour),
		placed("press-dev", "shop-1.3-1", "bob", v1alpha1.PhaseRolledBack, "back to shop-1.1", 6*time.Hour),
	}
	s.Orders = append(s.Orders, placed("press-release", "shop-1.2-1", "bob", v1alpha1.PhaseRunning, "step 1 of 2: 10 of 100 requests for 5m0s", 2*time.Minute))
	s.Orders[4].Strategy, s.Orders[4].Step = &v1alpha1.Strategy{Kind: v1alpha1.StrategyAB, Steps: []v1alpha1.WeightStep{{Weight: 10}, {Weight: 50}}}, 1
	s.Orders[0].Approvals = []v1alpha1.Opinion{{By: "ann", Comment: "seen in test"}}
	s.Orders[2].Previous = "shop-1.1"
	s.Orders[3].Failure = "web: the container of web-7c8d-x keeps ending"
	return s
}

func runningApp(environment, name, version string) survey.Application {
	digest := strings.Repeat("3fa9c1d", 9) + "a"
	a := survey.Application{Environment: environment, Name: name, State: v1alpha1.StateReady, Ready: "3/3", URLs: []string{"https://" + name + "." + environment + ".example/"}}
	for i, c := range []string{"api", "web"} {
		image := "registry.press.internal/" + name + "/" + c + "@sha256:" + digest
		a.Images = append(a.Images, image)
		n := int32(i + 1)
		a.Components = append(a.Components, v1alpha1.ComponentStatus{Name: c, Image: image, Wanted: n, Updated: n, Ready: n})
	}
	if version != "" {
		a.Release = name + "-" + version
	}
	return a
}

func placed(environment, name, author string, phase v1alpha1.Phase, message string, since time.Duration) survey.Order {
	o := survey.Order{Environment: environment, Name: name, Application: "shop", Release: strings.TrimSuffix(name, "-1"), Author: author, Phase: phase, Message: message, Since: ago(since), Made: ago(since + time.Minute)}
	for i, p := range []v1alpha1.Phase{v1alpha1.PhaseDraft, v1alpha1.PhaseChecked, v1alpha1.PhasePending, v1alpha1.PhaseApproved, v1alpha1.PhaseRunning, v1alpha1.PhaseVerifying, phase} {
		e := v1alpha1.OrderEvent{At: metav1.NewTime(ago(since + time.Duration(6-i)*10*time.Second)), Phase: p}
		if p == phase {
			e.Message, e.At = message, metav1.NewTime(ago(since))
			o.History = append(o.History, e)
			break
		}
		e.Message = fmt.Sprintf("step %d", i+1)
		o.History = append(o.History, e)
	}
	return o
}
