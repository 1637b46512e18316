"""Fields of MGN that nothing is made of, and why. A test holds that each field of the service model is read, or stands here."""

from __future__ import annotations

_STATE = "it is a state of MGN: replication begins anew here"
_STAGING = "nothing runs in AWS while rehost replicates: there is no staging area"

NO_PLACE = {
    "dataReplicationInfo": _STATE,
    "launchedInstance": "what MGN launched is not touched; end it in MGN",
    "connectorAction": "rehost runs nothing in a source's guest",
    "vcenterClientID": "it names MGN's own client in the vCenter",
    "applicationAggregatedStatus": _STATE,
    "waveAggregatedStatus": _STATE,
    "ec2LaunchTemplateID": "MGN's launch template goes with its source server; what it says is the launch config's to say",
    "postLaunchActions": "write it as `postLaunch` of its application; docs/validation.md says how",
    "enableMapAutoTagging": "write the tag of the MAP programme under `tags`",
    "mapAutoTaggingMpeID": "write the tag of the MAP programme under `tags`",
    "mapAutoTaggingKey": "write the tag of the MAP programme under `tags`",
    "stagingAreaSubnetId": _STAGING,
    "associateDefaultSecurityGroup": _STAGING,
    "replicationServersSecurityGroupsIDs": _STAGING,
    "replicationServerInstanceType": _STAGING,
    "useDedicatedReplicationServer": _STAGING,
    "defaultLargeStagingDiskType": _STAGING,
    "replicatedDisks": _STAGING,
    "dataPlaneRouting": _STAGING,
    "createPublicIP": _STAGING,
    "stagingAreaTags": _STAGING,
    "useFipsEndpoint": "the AWS SDK's own setting AWS_USE_FIPS_ENDPOINT holds",
    "internetProtocol": _STAGING,
    "storeSnapshotOnLocalZone": "snapshots are written in the region",
    "outpostSnapshotLocation": "snapshots are written in the region",
    "storageConfiguration": _STAGING,
    "fqdnForActionFramework": "rehost runs nothing in a source's guest",
}

#: Identity, counts and dates: the entry's comment has what a person needs of it.
IGNORED = frozenset(
    {
        "arn", "sourceServerID", "applicationID", "waveID", "userProvidedID", "creationDateTime", "lastModifiedDateTime",
        "lastUpdatedDateTime", "lifeCycle", "name",
    }
)  # fmt: skip
