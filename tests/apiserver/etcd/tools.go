//go:build tools

// Package tools pins the etcd that the tests' API server keeps its objects in; `cargo xtask test` builds it.
package tools

import _ "go.etcd.io/etcd/server/v3"
