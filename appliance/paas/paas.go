// Package paas runs the controllers of the platform: what brings about tenants, their environments and what runs there.
package paas

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"islet/appliance/paas/route"
	"islet/appliance/paas/tenancy"
	"islet/appliance/paas/v1alpha1"
)

// Scheme knows the kinds that the controllers use.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, networkingv1.AddToScheme, rbacv1.AddToScheme, discoveryv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// setLogger is the library's one logger for the process.
var setLogger sync.Once

// Run runs the controllers until ctx ends. ready is called once they know what there is. Only one server of a site may run them
// at a time: the caller holds the lease. The kinds must be served.
func Run(ctx context.Context, access *rest.Config, domain string, logger *slog.Logger, ready func()) error {
	setLogger.Do(func() { log.SetLogger(logr.FromSlogHandler(logger.Handler())) })
	scheme, err := Scheme()
	if err != nil {
		return err
	}
	managed, err := labels.Parse(tenancy.Managed)
	if err != nil {
		return err
	}
	skip, inManaged := true, cache.ByObject{Label: managed}
	m, err := ctrl.NewManager(access, manager.Options{
		Scheme: scheme, Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: "0", PprofBindAddress: "0",
		Logger:     logr.FromSlogHandler(logger.Handler()),
		Controller: config.Controller{SkipNameValidation: &skip}, // it is started anew whenever the lease comes back
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Namespace{}}, Unstructured: true}},
		Cache: cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{ // the rest of the site is nobody's business here
			&corev1.Namespace{}: inManaged, &corev1.ResourceQuota{}: inManaged, &corev1.LimitRange{}: inManaged,
			&networkingv1.NetworkPolicy{}: inManaged, &rbacv1.RoleBinding{}: inManaged,
		}},
	})
	if err != nil {
		return fmt.Errorf("controllers: %w", err)
	}
	r := &tenancy.Reconciler{Client: m.GetClient(), Domain: domain}
	if err := r.AddTo(m); err != nil {
		return err
	}
	if err := m.Add(route.NewWatcher(m.GetClient(), logger)); err != nil {
		return err
	}
	if err := m.Add(manager.RunnableFunc(func(ctx context.Context) error {
		if m.GetCache().WaitForCacheSync(ctx) {
			ready()
		}
		return nil
	})); err != nil {
		return err
	}
	return m.Start(ctx)
}
