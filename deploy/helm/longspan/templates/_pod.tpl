{{/* Parts of the server's pod. */}}

{{/* The folder of the model in the pod; empty: the image knows. */}}
{{- define "longspan.modelFolder" -}}
{{- with .Values.model -}}
{{- if eq .source "image" -}}{{ .path }}
{{- else if eq .source "download" -}}{{ printf "/models/%s/%s" .name .path | trimSuffix "/" }}
{{- else -}}{{ printf "/models/%s" .path | trimSuffix "/" }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "longspan.device" -}}
{{- with .Values.gpu -}}
{{- if not .enabled -}}cpu
{{- else if .device -}}{{ .device }}
{{- else if eq (.count | int) 1 -}}cuda
{{- else -}}{{ printf "cuda:%s" (untilStep 0 (.count | int) 1 | join ",") }}{{- end -}}
{{- end -}}
{{- end -}}

{{/*
What the chart sets is on the command line, which wins over the image's variables; the rest is in
the file of --config.
*/}}
{{- define "longspan.args" -}}
- --config=/etc/longspan/config.json
- --listen=0.0.0.0:{{ .Values.grpc.port | int }}
- --http={{ ternary (printf "0.0.0.0:%d" (.Values.http.port | int)) "off" .Values.http.enabled }}
{{- with include "longspan.modelFolder" . }}
- {{ printf "--model=%s" . | quote }}
{{- end }}
{{- with .Values.model.name }}
- {{ printf "--model-name=%s" . | quote }}
{{- end }}
- --device={{ include "longspan.device" . }}
- --drain-delay={{ .Values.drain.delaySeconds | int }}s
- --drain-limit={{ .Values.drain.limitSeconds | int }}s
{{- with .Values.tls }}
{{- if .existingSecret }}
- {{ printf "--tls-cert=/etc/longspan-tls/%s" .certKey | quote }}
- {{ printf "--tls-key=/etc/longspan-tls/%s" .keyKey | quote }}
{{- end }}
{{- if .clientCA.existingSecret }}
- {{ printf "--tls-client-ca=/etc/longspan-client-ca/%s" .clientCA.key | quote }}
{{- end }}
{{- if .http }}
- --http-tls
{{- end }}
{{- end }}
{{- if .Values.auth.existingSecret }}
- {{ printf "--auth-keys-file=/etc/longspan-auth/%s" .Values.auth.key | quote }}
{{- end }}
{{- if .Values.collections.persistence.enabled }}
- --collections-directory=/var/lib/longspan/collections
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* One process has the volume of kept documents: the old one ends before the new one starts. */}}
{{- define "longspan.strategy" -}}
{{- toYaml (ternary (dict "type" "Recreate") .Values.strategy .Values.collections.persistence.enabled) -}}
{{- end -}}

{{/* The settings as the server's file; a list is what it reads with commas. */}}
{{- define "longspan.config" -}}
{{- $config := dict -}}
{{- range $setting, $value := .Values.config -}}
{{- $_ := set $config $setting (ternary (join "," $value) $value (kindIs "slice" $value)) -}}
{{- end -}}
{{- toPrettyJson $config -}}
{{- end -}}

{{/* What the init container fetches. */}}
{{- define "longspan.downloads" -}}
{{- $list := dict "files" .Values.model.download.files -}}
{{- if .Values.model.download.archive.url -}}
{{- $list = dict "archive" .Values.model.download.archive -}}
{{- end -}}
{{- toPrettyJson $list -}}
{{- end -}}

{{/*
One probe; call with (dict "root" $ "probe" VALUES "path" HTTP_PATH "service" GRPC_SERVICE). The
kubelet's gRPC probes dial the pod without TLS; with TLS the pages of the HTTP port are asked, which
tell the same (longspan.checkSecurity refuses what nothing can probe).
*/}}
{{- define "longspan.probe" -}}
{{- if .root.Values.tls.existingSecret -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ ternary "HTTPS" "HTTP" .root.Values.tls.http }}
{{- else -}}
grpc:
  port: {{ .root.Values.grpc.port | int }}
  {{- with .service }}
  service: {{ . }}
  {{- end }}
{{- end }}
{{ toYaml .probe }}
{{- end -}}

{{/* Resources of the server, with its cards. */}}
{{- define "longspan.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- with .Values.gpu -}}
{{- if .enabled -}}
{{- range $which := list "requests" "limits" -}}
{{- $_ := set $resources $which (set (get $resources $which | default dict) $.Values.gpu.resource ($.Values.gpu.count | int | toString)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "longspan.mounts" -}}
- {name: config, mountPath: /etc/longspan, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if ne .Values.model.source "image" }}
- {name: model, mountPath: /models, readOnly: true}
{{- end }}
{{- if .Values.tls.existingSecret }}
- {name: tls, mountPath: /etc/longspan-tls, readOnly: true}
{{- end }}
{{- if .Values.tls.clientCA.existingSecret }}
- {name: client-ca, mountPath: /etc/longspan-client-ca, readOnly: true}
{{- end }}
{{- if .Values.auth.existingSecret }}
- {name: auth, mountPath: /etc/longspan-auth, readOnly: true}
{{- end }}
{{- if .Values.collections.persistence.enabled }}
- {name: collections, mountPath: /var/lib/longspan}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Secrets are mounted whole: the kubelet renews no file that is mounted by itself. */}}
{{- define "longspan.volumes" -}}
- name: config
  configMap:
    name: {{ include "longspan.fullname" . }}-config
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with .Values.model }}
{{- if eq .source "pvc" }}
- name: model
  persistentVolumeClaim:
    claimName: {{ .pvc.claimName | quote }}
    readOnly: true
{{- else if eq .source "imageVolume" }}
- name: model
  image:
    reference: {{ .imageVolume.reference | quote }}
    pullPolicy: {{ .imageVolume.pullPolicy }}
{{- else if eq .source "download" }}
- name: model
  emptyDir:
    sizeLimit: {{ .download.sizeLimit }}
- name: download
  configMap:
    name: {{ include "longspan.fullname" $ }}-download
{{- end }}
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ .Values.tls.existingSecret | quote }}
    defaultMode: 0440
{{- end }}
{{- if .Values.tls.clientCA.existingSecret }}
- name: client-ca
  secret:
    secretName: {{ .Values.tls.clientCA.existingSecret | quote }}
    defaultMode: 0440
{{- end }}
{{- if .Values.auth.existingSecret }}
- name: auth
  secret:
    secretName: {{ .Values.auth.existingSecret | quote }}
    defaultMode: 0440
{{- end }}
{{- with .Values.collections.persistence }}
{{- if .enabled }}
- name: collections
  persistentVolumeClaim:
    claimName: {{ .existingClaim | default (printf "%s-collections" (include "longspan.fullname" $)) | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Fetches the model before the server starts. */}}
{{- define "longspan.initContainers" -}}
{{- with .Values.model.download -}}
- name: model
  image: {{ .image | quote }}
  command: [python3, -B, /download/fetch_model.py, /download/downloads.json, /models/{{ $.Values.model.name }}]
  {{- with .tokenSecret }}
  {{- if .name }}
  env:
    - name: MODEL_TOKEN
      valueFrom:
        secretKeyRef: {name: {{ .name | quote }}, key: {{ .key | quote }}}
  {{- end }}
  {{- end }}
  resources:
    {{- toYaml .resources | nindent 4 }}
  securityContext:
    {{- toYaml $.Values.securityContext | nindent 4 }}
  volumeMounts:
    - {name: model, mountPath: /models}
    - {name: download, mountPath: /download, readOnly: true}
{{- end }}
{{- end -}}

{{/* Constraints without a selector would spread the pods of the whole namespace. */}}
{{- define "longspan.topologySpread" -}}
{{- $selector := dict "matchLabels" (include "longspan.selector" . | fromYaml) -}}
{{- $constraints := list -}}
{{- range .Values.topologySpreadConstraints -}}
{{- $constraints = append $constraints (merge (deepCopy .) (dict "labelSelector" $selector "matchLabelKeys" (list "pod-template-hash"))) -}}
{{- end -}}
{{- toYaml $constraints -}}
{{- end -}}
