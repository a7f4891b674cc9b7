package release

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/paas/application"
	"islet/appliance/paas/v1alpha1"
)

// enough is how many requests there must be before their errors are judged.
const enough = 20

// tooManyErrors says what is wrong with the answers of the new release since the step began; empty if nothing is.
func tooManyErrors(o *v1alpha1.ReleaseOrder, f Facts) string {
	if o.Spec.MaxErrorPercent == nil || f.Traffic == nil {
		return ""
	}
	before := o.Status.Traffic
	if before == nil || f.Traffic.Requests < before.Requests || f.Traffic.Errors < before.Errors { // a gateway began anew
		o.Status.Traffic = f.Traffic
		return ""
	}
	requests, bad := f.Traffic.Requests-before.Requests, f.Traffic.Errors-before.Errors
	if requests < enough || bad*100 <= int64(*o.Spec.MaxErrorPercent)*requests {
		return ""
	}
	return fmt.Sprintf("%d of %d requests were answered with errors; %d of 100 may be", bad, requests, *o.Spec.MaxErrorPercent)
}

// traffic asks all gateways what they have sent to the new release; nil when it gets nothing or one of them does not answer.
func (r *Reconciler) traffic(ctx context.Context, o *v1alpha1.ReleaseOrder, f Facts) (*v1alpha1.Traffic, error) {
	active := o.Status.Phase == v1alpha1.PhaseRunning || o.Status.Phase == v1alpha1.PhaseVerifying
	if o.Spec.MaxErrorPercent == nil || !active || f.Application == nil || f.Release == nil {
		return nil, nil
	}
	var gateways corev1.PodList
	if err := r.Live.List(ctx, &gateways, client.InNamespace(gatewayNamespace), client.MatchingLabels(gatewayLabels)); err != nil {
		return nil, fmt.Errorf("list the gateways: %w", err)
	}
	names, sum := backends(o, f), &v1alpha1.Traffic{}
	for _, pod := range gateways.Items {
		if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
			continue
		}
		if err := r.countAt(ctx, pod.Status.PodIP, names, sum); err != nil {
			return nil, nil //nolint:nilerr // its machine may be down: nothing is judged by a part of the requests
		}
	}
	return sum, nil
}

// countAt adds what the gateway at an address tells.
func (r *Reconciler) countAt(ctx context.Context, address string, services map[string]bool, sum *v1alpha1.Traffic) error {
	body, err := r.Ask(ctx, "http://"+net.JoinHostPort(address, gatewayPort)+"/metrics")
	if err != nil {
		return err
	}
	return errors.Join(count(body, services, sum), body.Close())
}

// The gateways, and where they tell what they count.
const (
	gatewayNamespace = "islet-system"
	gatewayPort      = "9000"
	gatewayMetric    = "traefik_service_requests_total{"
)

var gatewayLabels = map[string]string{"app": "gateway"}

// Get asks for an address.
func Get(ctx context.Context, url string) (io.ReadCloser, error) {
	const limit = 2 * time.Second
	client := &http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s", response.Body.Close(), response.Status)
	}
	return response.Body, nil
}

// backends are the names that the gateways have for the services of the new release.
func backends(o *v1alpha1.ReleaseOrder, f Facts) map[string]bool {
	ending := ""
	if beside(o) && o.Status.Step <= int32(len(weights(o))) {
		ending = application.BesideEnding
	}
	out := map[string]bool{}
	for _, c := range f.Release.Spec.Template.Components {
		for _, p := range c.Ports {
			name := application.Name(f.Application, c.Name) + ending
			out[fmt.Sprintf("%s-%s-http-%d@kubernetesgateway", o.Namespace, name, cmp.Or(p.Service, p.Port))] = true
		}
	}
	return out
}

// count adds up what a gateway tells of some services, in the text format of Prometheus.
func count(in io.Reader, services map[string]bool, sum *v1alpha1.Traffic) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), gatewayMetric)
		if !ok {
			continue
		}
		labels, value, ok := strings.Cut(rest, "} ")
		n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		_, service, _ := strings.Cut(labels, `service="`)
		service, _, _ = strings.Cut(service, `"`)
		if !ok || err != nil || !services[service] {
			continue
		}
		sum.Requests += int64(n)
		if strings.Contains(labels, `code="5`) {
			sum.Errors += int64(n)
		}
	}
	return lines.Err()
}
