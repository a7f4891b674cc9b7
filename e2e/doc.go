// Package e2e tests the one file as a site gets it: the real executable with its bundle, in isolated hosts of package lab,
// with real kubelets, containers and pods, and no way out. docs/testing.md says how to run one test and read a failure.
//
// The tests need root and the built file, which the environment variable APPLIANCE names (default ../build/appliance).
// Without either they are skipped.
package e2e
