// Package paas runs the controllers of the platform: what brings about tenants, their environments and what runs there.
package paas

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
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

	"islet/appliance/paas/application"
	"islet/appliance/paas/catalogue"
	"islet/appliance/paas/configset"
	"islet/appliance/paas/configuration"
	"islet/appliance/paas/release"
	"islet/appliance/paas/route"
	"islet/appliance/paas/tenancy"
	"islet/appliance/paas/v1alpha1"
)

// Scheme knows the kinds that the controllers use.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme, discoveryv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, rbacv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// setLogger is the library's one logger for the process.
var setLogger sync.Once

// Run runs the controllers until ctx ends. ready is called once they know what there is. Only one server of a site may run them
// at a time: the caller holds the lease. The kinds must be served. keys read the secrets of configuration.
func Run(ctx context.Context, access *rest.Config, domain string, keys configset.Keys, logger *slog.Logger, ready func()) error {
	setLogger.Do(func() { log.SetLogger(logr.FromSlogHandler(logger.Handler())) })
	m, err := newManager(access, logger)
	if err != nil {
		return fmt.Errorf("controllers: %w", err)
	}
	tenants := &tenancy.Reconciler{Client: m.GetClient(), Domain: domain}
	applications := &application.Reconciler{Client: m.GetClient(), Live: m.GetAPIReader(), Domain: domain}
	orders := &release.Reconciler{Client: m.GetClient(), Live: m.GetAPIReader(), Now: time.Now, Ask: release.Get}
	configurations := &configuration.Reconciler{Client: m.GetClient(), Live: m.GetAPIReader(), Keys: keys}
	instances := &catalogue.Instances{Client: m.GetClient(), Live: m.GetAPIReader()}
	bindings := &catalogue.Bindings{Client: m.GetClient(), Live: m.GetAPIReader()}
	for _, add := range []func(manager.Manager) error{tenants.AddTo, configurations.AddTo, applications.AddTo, orders.AddTo, instances.AddTo, bindings.AddTo} {
		if err := add(m); err != nil {
			return err
		}
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

func newManager(access *rest.Config, logger *slog.Logger) (manager.Manager, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	managed, err := labels.Parse(tenancy.Managed)
	if err != nil {
		return nil, err
	}
	rendered, err := labels.Parse(v1alpha1.LabelConfig)
	if err != nil {
		return nil, err
	}
	skip, inManaged, ofConfig := true, cache.ByObject{Label: managed}, cache.ByObject{Label: rendered}
	return ctrl.NewManager(access, manager.Options{
		Scheme: scheme, Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: "0", PprofBindAddress: "0",
		Logger:     logr.FromSlogHandler(logger.Handler()),
		Controller: config.Controller{SkipNameValidation: &skip}, // it is started anew whenever the lease comes back
		Client: client.Options{Cache: &client.CacheOptions{
			Unstructured: true, DisableFor: []client.Object{&corev1.Namespace{}, &corev1.Event{}},
		}},
		Cache: cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{
			// but for routes and what is behind them, the rest of the site is nobody's business here
			&corev1.Namespace{}: inManaged, &corev1.ResourceQuota{}: inManaged, &corev1.LimitRange{}: inManaged,
			&networkingv1.NetworkPolicy{}: inManaged, &rbacv1.RoleBinding{}: inManaged,
			&appsv1.Deployment{}: inManaged, &appsv1.StatefulSet{}: inManaged, &corev1.PersistentVolumeClaim{}: inManaged, &policyv1.PodDisruptionBudget{}: inManaged,
			&corev1.ConfigMap{}: ofConfig, &corev1.Secret{}: ofConfig,
		}},
	})
}
