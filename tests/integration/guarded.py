"""Apache Kafka that knows its users and lets each do only what it was given the right to."""

from __future__ import annotations

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)
from kafka.admin import ACLResourcePatternType as Pattern

from stream.kafka.apache_broker import ApacheKafka
from stream.kafka.settings import SecuritySettings

OPERATOR, USER = "operator", "bob"
SECRET = "open-sesame-81723"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "cluster": ResourceType.CLUSTER,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}


def guarded(nodes=1, users=(USER,), **properties) -> ApacheKafka:
    """Return a cluster with SASL PLAIN and ACLs; everybody's password is `SECRET`."""
    known = " ".join(f'user_{name}="{SECRET}"' for name in (OPERATOR, *users))
    return ApacheKafka(
        nodes,
        {
            "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.client.plain.sasl.jaas.config": (
                f'{_PLAIN} required username="{OPERATOR}" password="{SECRET}" {known};'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{OPERATOR};User:ANONYMOUS",  # the controller's listener is open
            **properties,
        },
    )


def login(name=USER) -> SecuritySettings:
    return SecuritySettings.default(
        protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN", username=name, password=SECRET
    )


def operator(broker) -> KafkaAdminClient:
    return KafkaAdminClient(
        bootstrap_servers=broker.bootstrap_servers,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_plain_username=OPERATOR,
        sasl_plain_password=SECRET,
    )


def as_acl(right, name=USER, host="*"):
    """Return the ACL of a right: kind, resource and operation, as ("topic", "a", "READ")."""
    kind, resource, operation = right
    pattern = ResourcePattern(KINDS[kind], resource, Pattern.LITERAL)
    return ACL(f"User:{name}", host, ACLOperation[operation], ACLPermissionType.ALLOW, pattern)
