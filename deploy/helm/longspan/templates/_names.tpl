{{/* Names and labels. */}}

{{- define "longspan.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/*
The release's name, with that of the chart behind it where it does not hold it already. Services
have at most 63 characters, and ours add up to 9 ("-headless"). A longer name is cut, and gets a
hash of the whole: two releases whose names begin alike still differ.
*/}}
{{- define "longspan.fullname" -}}
{{- $name := include "longspan.name" . -}}
{{- $full := .Values.fullnameOverride -}}
{{- if not $full -}}
{{- $full = ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- end -}}
{{- if gt (len $full) 53 -}}
{{- $full = printf "%s-%s" ($full | trunc 44 | trimSuffix "-") ($full | sha256sum | trunc 8) -}}
{{- end -}}
{{- $full -}}
{{- end -}}

{{/* What pods are selected by. It never changes within a release. */}}
{{- define "longspan.selector" -}}
app.kubernetes.io/name: {{ include "longspan.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: server
{{- end -}}

{{/*
Labels of an object; call with (dict "root" $ "component" NAME "extra" LABELS). Those that the chart
selects by win over the user's.
*/}}
{{- define "longspan.labelsOf" -}}
{{- $own := dict "app.kubernetes.io/name" (include "longspan.name" .root) "app.kubernetes.io/instance" .root.Release.Name "app.kubernetes.io/component" .component "app.kubernetes.io/version" .root.Chart.AppVersion "app.kubernetes.io/part-of" "longspan" -}}
{{- toYaml (merge (dict) $own (.extra | default dict) .root.Values.commonLabels) -}}
{{- end -}}

{{/* The same for an object of the release; pods lack helm.sh/chart, which would replace them for
nothing. */}}
{{- define "longspan.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "longspan.labelsOf" (dict "root" . "component" "server") }}
{{- end -}}

{{/* Call as longspan.labelsOf. */}}
{{- define "longspan.labelsWith" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "longspan.labelsOf" . }}
{{- end -}}

{{- define "longspan.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "longspan.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "longspan.image" -}}
{{- $tag := .Values.image.tag | default (printf "%s%s" .Chart.AppVersion (ternary "-gpu" "" .Values.gpu.enabled)) -}}
{{- with .Values.image.digest -}}
{{- printf "%s@%s" $.Values.image.repository . -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end -}}

{{/* The label `job` of what is scraped: the alerts look for longspan.*. */}}
{{- define "longspan.job" -}}
{{- .Values.metrics.serviceMonitor.job | default (ternary .Release.Name (printf "longspan-%s" .Release.Name) (hasPrefix "longspan" .Release.Name)) -}}
{{- end -}}

{{/* Whether the client of the image can call the server, and so `helm test` can. */}}
{{- define "longspan.canTest" -}}
{{- $reachable := and (not .Values.tls.clientCA.existingSecret) (or (not .Values.tls.existingSecret) .Values.tls.caKey) -}}
{{- $known := or (not .Values.auth.existingSecret) .Values.test.keySecret.name -}}
{{- if and .Values.test.enabled $reachable $known -}}true{{- end -}}
{{- end -}}

{{/* Whether something computes the number of servers. */}}
{{- define "longspan.isScaled" -}}
{{- if or .Values.autoscaling.enabled .Values.keda.enabled -}}true{{- end -}}
{{- end -}}
