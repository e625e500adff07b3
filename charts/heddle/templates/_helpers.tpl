{{/* Names are fixed, as cluster-wide objects and injected pods refer to them: one mesh in a cluster. */}}
{{- define "heddle.name" -}}heddle-control-plane{{- end }}

{{- define "heddle.selector" -}}
app.kubernetes.io/name: heddle-control-plane
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "heddle.commonLabels" -}}
app.kubernetes.io/part-of: heddle
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "heddle.labels" -}}
{{ include "heddle.selector" . }}
{{ include "heddle.commonLabels" . }}
{{- end }}

{{- define "heddle.cniSelector" -}}
app.kubernetes.io/name: heddle-cni
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The whole name of an image: include "heddle.image" (list . .Values.images.proxy) */}}
{{- define "heddle.image" -}}
{{- $root := index . 0 -}}
{{- $repository := index . 1 -}}
{{- with $root.Values.images.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ $repository }}:{{ $root.Values.images.tag | default $root.Chart.AppVersion }}
{{- end }}

{{- define "heddle.pullSecrets" -}}
{{- with .Values.images.pullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "heddle.host" -}}
{{ include "heddle.name" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "heddle.caSecret" -}}
{{ .Values.ca.existingSecret | default "heddle-ca" }}
{{- end }}

{{- define "heddle.interception" -}}
{{ .Values.injection.interception | default (ternary "cni" "iptables" .Values.cni.enabled) }}
{{- end }}

{{/* An own user that is not root, of the images. */}}
{{- define "heddle.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Annotations of what lives for the length of helm uninstall: include "heddle.uninstallHook" WEIGHT */}}
{{- define "heddle.uninstallHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* What every container of ours may do: nothing. */}}
{{- define "heddle.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What the injector makes sidecars of; also read by `heddle inject --settings`. */}}
{{- define "heddle.injectorSettings" -}}
proxyImage: {{ include "heddle.image" (list . .Values.images.proxy) | quote }}
initImage: {{ include "heddle.image" (list . .Values.images.init) | quote }}
imagePullPolicy: {{ .Values.images.pullPolicy }}
imagePullSecrets: {{ toJson .Values.images.pullSecrets }}
controlPlane: {{ printf "%s:15012" (include "heddle.host" .) | quote }}
trustDomain: {{ .Values.mesh.trustDomain | quote }}
clusterDomain: {{ .Values.mesh.clusterDomain | quote }}
interception: {{ include "heddle.interception" . }}
{{- if eq (toString .Values.injection.nativeSidecars) "auto" }}
nativeSidecar: {{ semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version }}
{{- else }}
nativeSidecar: {{ .Values.injection.nativeSidecars }}
{{- end }}
excludeOutboundPorts: {{ toJson .Values.proxy.excludeOutboundPorts }}
excludeInboundPorts: {{ toJson .Values.proxy.excludeInboundPorts }}
excludeOutboundCidrs: {{ toJson .Values.proxy.excludeOutboundCidrs }}
proxy:
  {{- /* Empty: none, which is not the same as the default. */}}
  {{- $resources := .Values.proxy.resources | default dict }}
  cpuRequest: {{ dig "requests" "cpu" "" $resources | default "" | toString | quote }}
  cpuLimit: {{ dig "limits" "cpu" "" $resources | default "" | toString | quote }}
  memoryRequest: {{ dig "requests" "memory" "" $resources | default "" | toString | quote }}
  memoryLimit: {{ dig "limits" "memory" "" $resources | default "" | toString | quote }}
  logLevel: {{ .Values.proxy.logLevel }}
  concurrency: {{ .Values.proxy.concurrency }}
  drainTime: {{ .Values.proxy.drainTime }}
  rewriteProbes: {{ .Values.proxy.rewriteProbes }}
{{- end }}

{{/* The plurals of our kinds, from the names of the generated CRDs: files/crds/heddle.dev_PLURAL.yaml */}}
{{- define "heddle.kinds" -}}
{{- $plurals := list -}}
{{- range $path, $_ := .Files.Glob "files/crds/heddle.dev_*.yaml" -}}
{{- $plurals = append $plurals ($path | base | trimPrefix "heddle.dev_" | trimSuffix ".yaml") -}}
{{- end -}}
{{- join ", " $plurals -}}
{{- end }}

{{- define "heddle.kindStatuses" -}}
{{- $statuses := list -}}
{{- range splitList ", " (include "heddle.kinds" .) -}}
{{- $statuses = append $statuses (printf "%s/status" .) -}}
{{- end -}}
{{- join ", " $statuses -}}
{{- end }}
