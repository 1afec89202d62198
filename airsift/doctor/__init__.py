"""What `airsift doctor` looks at: the installation, the machine, and what the configuration needs.

A check returns findings and may raise or hang: whoever calls it (`airsift.doctor.checkup`) gives it
a time and turns an error into a finding. Checks that load native libraries, or wait for another
machine, run in a process of their own, so that a crash of theirs is a finding too.
"""
