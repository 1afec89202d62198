{{/* The name of the objects: that of the release, which may be "true" or "null", so it is quoted
     wherever it stands. Of a long one, what distinguishes it from others is kept. */}}
{{- define "airsift.name" -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" .Release.Name) -}}
{{- fail (printf "the release's name is %q: it names a Service, so it must begin with a letter, and have a-z, 0-9 and - alone" .Release.Name) -}}
{{- end -}}
{{- if gt (len .Release.Name) 50 -}}
{{- printf "%s-%s" (.Release.Name | trunc 43 | trimSuffix "-") (sha256sum .Release.Name | trunc 6) -}}
{{- else -}}
{{- .Release.Name -}}
{{- end -}}
{{- end }}

{{/* What selects the workers, and nothing else. */}}
{{- define "airsift.selector" -}}
app.kubernetes.io/name: airsift
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "airsift.labels" -}}
{{ include "airsift.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "airsift.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion | toString) | toJson }}
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
