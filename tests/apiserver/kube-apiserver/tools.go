//go:build tools

// Package tools pins the API server that the tests start; `cargo xtask test` builds it.
package tools

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
