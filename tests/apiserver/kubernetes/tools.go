//go:build tools

// Package tools pins the parts of Kubernetes that tests and benchmarks start; `cargo xtask` builds them.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-proxy"
)
