// Package crds names the types that controller-gen makes the CRDs of the Prometheus operator from.
package crds

import _ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
