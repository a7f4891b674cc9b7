package addon

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"islet/bundle/bundletest"
)

func TestImagesCheck(t *testing.T) {
	t.Parallel()
	carried := Images{digest.Digest(reference[strings.Index(reference, "@")+1:]): true}
	unknown := "islet.internal/x:1@sha256:" + strings.Repeat("0", 64)
	pod := func(field, image string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  " + field + ":\n  - {name: a, image: '" + image + "'}\n"
	}
	cases := []struct{ name, text, want string }{
		{"carried", pod("containers", reference), ""},
		{"carried under another name", pod("containers", "dns"+reference[strings.Index(reference, "@"):]), ""},
		{"not carried", pod("containers", unknown), "Pod p: the bundle cannot provide the image: it does not carry " + unknown},
		{"by tag alone", pod("containers", "islet.internal/dns:1.15.0"), `"islet.internal/dns:1.15.0" has no digest`},
		{"none", pod("containers", ""), `"" has no digest`},
		{"init container", pod("initContainers", unknown), unknown},
		{"ephemeral container", pod("ephemeralContainers", unknown), unknown},
		{"template", "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{image: '" + unknown + "'}]}}}}}", "CronJob c: "},
		{"pod in a ConfigMap", configMap + "  pod.yaml: |\n    " + strings.ReplaceAll(strings.TrimSpace(pod("containers", unknown)), "\n", "\n    "), "ConfigMap c: "},
		{"word in a ConfigMap", configMap + "  text: 'containers: none {'\n", ""},
		{"schema", "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: c}\nspec: {properties: {containers: {type: array}, image: {type: string}}}", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			objects, err := component(c.text).Render(nil)
			if err != nil {
				t.Fatal(err)
			}
			err = carried.Check(objects)
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrImage) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestCheckReportsEverything(t *testing.T) {
	t.Parallel()
	l := bundletest.NewLayout(t)
	image := l.Image("islet.internal/dns:1", "1", []byte("x"))
	good := "islet.internal/dns:1@" + image.Digest.String()
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{image: '${IMAGE_DNS}'}]}\n"
	manifests(t, l, "good", map[string]string{"dns": good}, pod)
	if err := Check(t.Context(), read(t, l), nil); err != nil {
		t.Errorf("a good bundle: %v", err)
	}
	manifests(t, l, "lacks", map[string]string{"dns": reference}, pod)
	manifests(t, l, "asks", map[string]string{"dns": good}, pod+"---\n${WHO}")
	err := Check(t.Context(), read(t, l), nil)
	if !errors.Is(err, ErrImage) || !errors.Is(err, ErrUnknownVariable) {
		t.Errorf("%v", err)
	}
	for _, want := range []string{"add-on lacks: Pod p: ", "add-on asks: a.yaml: no such variable: WHO"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}
