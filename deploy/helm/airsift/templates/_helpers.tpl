{{/* The name of the objects: that of the release. */}}
{{- define "airsift.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{/* What selects the workers, and nothing else. */}}
{{- define "airsift.selector" -}}
app.kubernetes.io/name: airsift
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "airsift.labels" -}}
{{ include "airsift.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "airsift.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* A configuration as TOML: first the values of a table, then its tables. JSON's strings, numbers,
     booleans and lists are TOML's too. Takes a dict of `name` and `table`. */}}
{{- define "airsift.toml" -}}
{{- $name := .name -}}
{{- $values := false -}}
{{- range $key, $value := .table -}}
{{- if not (kindIs "map" $value) -}}
{{- if and $name (not $values) }}
[{{ $name }}]
{{ end -}}
{{- $values = true -}}
{{ $key }} = {{ toJson $value }}
{{ end -}}
{{- end -}}
{{- range $key, $value := .table -}}
{{- if kindIs "map" $value -}}
{{- include "airsift.toml" (dict "name" (ternary (printf "%s.%s" $name $key) $key (ne $name "")) "table" $value) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "airsift.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
