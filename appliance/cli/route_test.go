package cli

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/paas/v1alpha1"
)

func TestPrintRoutes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
	web := v1alpha1.Finding{Code: "rule-without-pods", Subject: "Ingress press-dev/web", Detail: "service press-dev/web has no pod", Since: ago(90 * time.Second)}
	pod := v1alpha1.Finding{Code: "pod-without-rule", Subject: "Pod press-dev/web-1", Detail: "it is ready", Remedy: "make the endpoints anew", Since: ago(time.Minute)}
	for name, c := range map[string]struct {
		report v1alpha1.HealthReport
		want   string
	}{
		"nothing": {want: "All routes, services, endpoints, pods and nodes fit together.\n"},
		"findings": {
			report: v1alpha1.HealthReport{Spec: v1alpha1.HealthReportSpec{Repair: v1alpha1.RepairAsked}, Status: v1alpha1.HealthReportStatus{
				Count: 2, Findings: []v1alpha1.Finding{web, pod},
				Repaired: []v1alpha1.Repaired{{Finding: pod, At: ago(time.Hour)}, {Finding: pod, At: ago(2 * time.Hour), Error: "conflict"}},
			}},
			want: `SUBJECT                SINCE  WHAT               WHY                               REMEDY
Ingress press-dev/web  1m30s  rule-without-pods  service press-dev/web has no pod  yours to decide
Pod press-dev/web-1    1m0s   pod-without-rule   it is ready                       make the endpoints anew

REPAIRED             AGO     WHAT              HOW
Pod press-dev/web-1  1h0m0s  pod-without-rule  make the endpoints anew
Pod press-dev/web-1  2h0m0s  pod-without-rule  FAILED: conflict

Nothing is repaired until it is asked for: appliance route repair
`,
		},
	} {
		var out strings.Builder
		if err := printRoutes(&out, viewRoutes(c.report), now); err != nil || out.String() != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, out.String(), c.want)
		}
	}
}
