{{/*
What the schema cannot say: values that contradict each other. Each message names what was given and
what would do. deployment.yaml includes longspan.checks, so nothing renders where one fails.
*/}}

{{- define "longspan.checks" -}}
{{- include "longspan.checkName" . -}}
{{- include "longspan.checkSettings" . -}}
{{- include "longspan.checkModel" . -}}
{{- include "longspan.checkSecurity" . -}}
{{- include "longspan.checkDrain" . -}}
{{- include "longspan.checkGpu" . -}}
{{- include "longspan.checkScaling" . -}}
{{- include "longspan.checkCollections" . -}}
{{- include "longspan.checkMetrics" . -}}
{{- end -}}

{{/* A release's name may begin with a digit and have points; that of a Service may not. */}}
{{- define "longspan.checkName" -}}
{{- $name := include "longspan.fullname" . -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $name) -}}
{{- fail (printf "the Service would be named %q; allowed: lower-case letters, digits and -, a letter first; set fullnameOverride" $name) -}}
{{- end -}}
{{- end -}}

{{/* Settings of the server that other values set, and which. */}}
{{- define "longspan.owned" -}}
config: config
print-config: none
listen: grpc.port
http: http.enabled and http.port
model: model.source and model.path
model-name: model.name
device: gpu.enabled and gpu.device
drain-delay: drain.delaySeconds
drain-limit: drain.limitSeconds
tls-cert: tls.existingSecret
tls-key: tls.existingSecret
tls-client-ca: tls.clientCA.existingSecret
http-tls: tls.http
auth-keys-file: auth.existingSecret
collections-directory: collections.persistence
{{- end -}}

{{- define "longspan.checkSettings" -}}
{{- $owned := include "longspan.owned" . | fromYaml -}}
{{- range $setting, $_ := .Values.config -}}
{{- with get $owned $setting -}}
{{- fail (printf "config.%s: the chart sets it; use the value %s" $setting .) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraArgs -}}
{{- $setting := regexReplaceAll "^--?(no-)?([a-z-]+).*$" . "${2}" -}}
{{- with get $owned $setting -}}
{{- fail (printf "extraArgs has %q: the chart sets --%s; use the value %s" $setting $setting .) -}}
{{- end -}}
{{- if hasKey $.Values.config $setting -}}
{{- fail (printf "extraArgs and config both set %s: keep it in config" $setting) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if hasPrefix "LONGSPAN_" .name -}}
{{- $setting := trimPrefix "LONGSPAN_" .name | lower | replace "_" "-" -}}
{{- with get $owned $setting -}}
{{- fail (printf "extraEnv has LONGSPAN_%s: the chart sets --%s; use the value %s" ($setting | upper | replace "-" "_") $setting .) -}}
{{- end -}}
{{- if hasKey $.Values.config $setting -}}
{{- fail (printf "extraEnv has %s, which would win over config.%s: keep one of them" .name $setting) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "longspan.checkModel" -}}
{{- with .Values.model -}}
{{- if and (eq .source "pvc") (not .pvc.claimName) -}}
{{- fail "model.source is pvc, and model.pvc.claimName is empty: name an existing PersistentVolumeClaim" -}}
{{- end -}}
{{- if and (eq .source "imageVolume") (not .imageVolume.reference) -}}
{{- fail "model.source is imageVolume, and model.imageVolume.reference is empty: name an OCI artifact" -}}
{{- end -}}
{{- if eq .source "download" -}}
{{- if not .name -}}
{{- fail "model.source is download, and model.name is empty: the folder that is made has no other name" -}}
{{- end -}}
{{- if eq (empty .download.files) (empty .download.archive.url) -}}
{{- fail "model.source is download: give either model.download.files or model.download.archive.url" -}}
{{- end -}}
{{- if and .download.archive.url (not .download.archive.sha256) -}}
{{- fail "model.download.archive.sha256 is empty: what is fetched without its sha256 is not served" -}}
{{- end -}}
{{- if and .path .download.files -}}
{{- fail (printf "model.path is %q: with model.download.files the files themselves have paths" .path) -}}
{{- end -}}
{{- end -}}
{{- if or (contains ".." .path) (and (hasPrefix "/" .path) (ne .source "image")) -}}
{{- fail (printf "model.path is %q; allowed: a path inside the volume, as org/name" .path) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "longspan.checkSecurity" -}}
{{- $tls := .Values.tls -}}
{{- $pageKeys := get .Values.config "http-page-keys" | toString | eq "true" -}}
{{- if and (not $tls.existingSecret) $tls.clientCA.existingSecret -}}
{{- fail "tls.clientCA.existingSecret is set, and tls.existingSecret is empty: mTLS needs the server's certificate, too" -}}
{{- end -}}
{{- if and $tls.http (not (and $tls.existingSecret .Values.http.enabled)) -}}
{{- fail "tls.http is true: it needs tls.existingSecret and http.enabled" -}}
{{- end -}}
{{- if and $pageKeys (not .Values.auth.existingSecret) -}}
{{- fail "config.http-page-keys is true, and auth.existingSecret is empty: there are no keys" -}}
{{- end -}}
{{- if and $tls.existingSecret (not .Values.http.enabled) -}}
{{- fail "tls.existingSecret is set and http.enabled is false: nothing can probe the server, since the kubelet's gRPC probes speak no TLS; set http.enabled" -}}
{{- end -}}
{{- if and $tls.existingSecret $pageKeys -}}
{{- fail "tls.existingSecret and config.http-page-keys are set: nothing can probe the server, since the kubelet's gRPC probes speak no TLS and its HTTP probes have no key; drop one of the two" -}}
{{- end -}}
{{- if and $tls.http $tls.clientCA.existingSecret -}}
{{- fail "tls.http and tls.clientCA.existingSecret are set: nothing can probe the server, since the kubelet shows no certificate; set tls.http to false, and close the HTTP port by networkPolicy.ingress.httpFrom" -}}
{{- end -}}
{{- end -}}

{{- define "longspan.checkDrain" -}}
{{- with .Values.drain -}}
{{- $sum := add .preStopSeconds .delaySeconds .limitSeconds .marginSeconds -}}
{{- if gt ($sum | int64) ($.Values.terminationGracePeriodSeconds | int64) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, and a pod takes up to %d s to end: drain.preStopSeconds %d + delaySeconds %d + limitSeconds %d + marginSeconds %d; allowed: %d or more" ($.Values.terminationGracePeriodSeconds | int64) ($sum | int64) (.preStopSeconds | int64) (.delaySeconds | int64) (.limitSeconds | int64) (.marginSeconds | int64) ($sum | int64)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "longspan.checkGpu" -}}
{{- with .Values.gpu -}}
{{- if and .enabled (contains "/mig-" .resource) (gt (.count | int) 1) -}}
{{- fail (printf "gpu.count is %d of %s: a process can use one MIG slice; allowed: 1" (.count | int) .resource) -}}
{{- end -}}
{{- if and .device (not .enabled) -}}
{{- fail (printf "gpu.device is %q, and gpu.enabled is false: set gpu.enabled" .device) -}}
{{- end -}}
{{- if and .enabled (eq .device "cpu") -}}
{{- fail "gpu.device is cpu, and gpu.enabled is true: set gpu.enabled to false" -}}
{{- end -}}
{{- range $where, $resources := dict "limits" $.Values.resources.limits "requests" $.Values.resources.requests -}}
{{- if and $.Values.gpu.enabled (hasKey ($resources | default dict) $.Values.gpu.resource) -}}
{{- fail (printf "resources.%s has %s: gpu.count sets it" $where $.Values.gpu.resource) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "longspan.checkScaling" -}}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled -}}
{{- fail "autoscaling.enabled and keda.enabled are both true: two scalers would pull at one Deployment; keep one" -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (gt (.minReplicas | int) (.maxReplicas | int)) -}}
{{- fail (printf "autoscaling.minReplicas is %d, above maxReplicas %d" (.minReplicas | int) (.maxReplicas | int)) -}}
{{- end -}}
{{- end -}}
{{- with .Values.keda -}}
{{- if and .enabled (not .serverAddress) -}}
{{- fail "keda.enabled is true, and keda.serverAddress is empty: give Prometheus's address, as http://prometheus.monitoring:9090" -}}
{{- end -}}
{{- if and .enabled (gt (.minReplicaCount | int) (.maxReplicaCount | int)) -}}
{{- fail (printf "keda.minReplicaCount is %d, above maxReplicaCount %d" (.minReplicaCount | int) (.maxReplicaCount | int)) -}}
{{- end -}}
{{- end -}}
{{- $fewest := include "longspan.fewestReplicas" . | int -}}
{{- $least := .Values.podDisruptionBudget.minAvailable | toString -}}
{{- if and .Values.podDisruptionBudget.enabled (regexMatch "^[0-9]+$" $least) (ge ($least | int) $fewest) -}}
{{- fail (printf "podDisruptionBudget.minAvailable is %s of %d servers: no node could ever be drained; allowed: fewer, or maxUnavailable" $least $fewest) -}}
{{- end -}}
{{- end -}}

{{- define "longspan.checkCollections" -}}
{{- with .Values.collections.persistence -}}
{{- if and .existingClaim (not .enabled) -}}
{{- fail (printf "collections.persistence.existingClaim is %q, and collections.persistence.enabled is false: set it to true" .existingClaim) -}}
{{- end -}}
{{- if and .enabled (get $.Values.config "collections" | toString | eq "false") -}}
{{- fail "collections.persistence.enabled is true, and config.collections is false: no document would be kept on the volume" -}}
{{- end -}}
{{- if .enabled -}}
{{- range $scaler := list "autoscaling" "keda" -}}
{{- if (index $.Values $scaler).enabled -}}
{{- fail (printf "collections.persistence.enabled and %s.enabled are both true: servers do not share kept documents, and one process has the volume; install a release without a scaler for each part of the collections" $scaler) -}}
{{- end -}}
{{- end -}}
{{- if gt ($.Values.replicaCount | int) 1 -}}
{{- fail (printf "collections.persistence.enabled is true, and replicaCount is %d: servers do not share kept documents, and one process has the volume; set replicaCount to 1, and install a release for each part of the collections" ($.Values.replicaCount | int)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The fewest servers that there are while nobody drains a node. */}}
{{- define "longspan.fewestReplicas" -}}
{{- if .Values.autoscaling.enabled -}}{{ .Values.autoscaling.minReplicas | int }}
{{- else if .Values.keda.enabled -}}{{ .Values.keda.minReplicaCount | int }}
{{- else -}}{{ .Values.replicaCount | int }}{{- end -}}
{{- end -}}

{{- define "longspan.checkMetrics" -}}
{{- $needsHttp := dict "metrics.serviceMonitor" .Values.metrics.serviceMonitor.enabled "autoscaling" .Values.autoscaling.enabled "keda" .Values.keda.enabled "ingress.http" .Values.ingress.http.enabled "gateway.http" .Values.gateway.http.enabled -}}
{{- range $value, $isOn := $needsHttp -}}
{{- if and $isOn (not $.Values.http.enabled) -}}
{{- fail (printf "%s.enabled is true, and http.enabled is false: it needs the HTTP port" $value) -}}
{{- end -}}
{{- end -}}
{{- $pageKeys := get .Values.config "http-page-keys" | toString | eq "true" -}}
{{- if and .Values.metrics.serviceMonitor.enabled $pageKeys (not .Values.metrics.serviceMonitor.authorization) -}}
{{- fail "config.http-page-keys is true: /metrics asks for a key; give metrics.serviceMonitor.authorization" -}}
{{- end -}}
{{- range $value := list "grpc" "http" -}}
{{- with get $.Values.gateway $value -}}
{{- if and .enabled (not .parentRefs) -}}
{{- fail (printf "gateway.%s.enabled is true, and gateway.%s.parentRefs is empty: name a Gateway" $value $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
