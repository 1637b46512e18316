"""Fields of SMS that nothing is made of, and why. A test holds that each field of the service model is read, or stands here."""

from __future__ import annotations

_HISTORY = "it is the history of SMS; what it made is not touched"
_AWS = "what SMS made stays in the account; the first run here copies everything"
_STATE = "it is a state of SMS, which has ended"

NO_PLACE = {
    "roleName": "SMS's role is trusted by SMS alone; VM import assumes vmimport, or the role that `image.role` names",
    "latestAmiId": _AWS,
    "nextReplicationRunStartTime": "it follows from the schedule",
    "replicationRunList": _HISTORY,
    "statusMessage": _STATE,
    "importedAppId": "it names an application of the Application Discovery Service",
    "replicationConfigurationStatus": _STATE,
    "replicationStatus": _STATE,
    "replicationStatusMessage": _STATE,
    "launchConfigurationStatus": _STATE,
    "launchStatus": _STATE,
    "launchStatusMessage": _STATE,
    "latestReplicationTime": _HISTORY,
    "launchDetails": "it is a stack of CloudFormation that SMS launched; what runs of it is not touched",
    "autoLaunch": "a launch is a change of `phase`, which somebody approves",
    "vpc": "it follows from the subnet",
    "logicalId": "it is the server's name in a template of CloudFormation",
    "validationId": "it is SMS's own",
}

#: Identity, counts and dates: the entry's comment has what a person needs of it.
IGNORED = frozenset(
    {
        "serverType", "replicationJobId", "vmManagerId", "serverId", "lastModifiedOn", "creationTime", "lastModified",
        "totalServerGroups", "totalServers", "status", "state", "appId", "serverGroupId", "vmServer", "connectorList",
        "serverCatalogStatus", "vmManagerName", "vmManagerType",
    }
)  # fmt: skip
